package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

type orders struct {
	stack awscdk.Stack
	p     parameters
	code  awslambda.Code

	orders, payments, outbox, idempotency                        awsdynamodb.Table
	orderEvents, orderEventsDLQ, paymentEvents, paymentEventsDLQ awssqs.Queue
	receipts                                                     awss3.Bucket
	logs, accessLog                                              awslogs.LogGroup
	functions                                                    []awslambda.Function
}

func newOrders(app awscdk.App, pkg string) {
	stack := awscdk.NewStack(app, jsii.String("orders"), &awscdk.StackProps{
		Description: jsii.String("The order system - orders, payments, receipts."),
	})
	s := &orders{stack: stack, p: newParameters(stack), code: awslambda.Code_FromAsset(&pkg, nil)}
	s.addStores()
	s.logs = s.logGroup("Logs", nil)
	s.accessLog = s.logGroup("AccessLog", awscdk.Fn_Join(jsii.String(""), &[]*string{
		jsii.String("/aws/vendedlogs/"), stack.StackName(), jsii.String("-api")}))
	s.addFunctions()
	s.output("OrderEventsQueue", s.orderEvents.QueueUrl(), "")
	s.output("OrderEventsDeadLetters", s.orderEventsDLQ.QueueUrl(), "What OrderEventsUndelivered is about.")
	s.output("PaymentEventsQueue", s.paymentEvents.QueueUrl(), "")
	s.output("PaymentEventsDeadLetters", s.paymentEventsDLQ.QueueUrl(), "What PaymentEventsUndelivered is about.")
	s.output("ReceiptsBucket", s.receipts.BucketName(), "Where the receipts are.")
	s.output("LogGroup", s.logs.LogGroupName(), "Where the functions log.")
}

func (s *orders) logGroup(id string, name *string) awslogs.LogGroup {
	group := named(awslogs.NewLogGroup(s.stack, &id, &awslogs.LogGroupProps{
		LogGroupName:  name,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	}), id)
	element(group).(awslogs.CfnLogGroup).SetRetentionInDays(s.p.logDays.ValueAsNumber())
	return group
}

func (s *orders) output(id string, value *string, description string) {
	props := &awscdk.CfnOutputProps{Value: value}
	if description != "" {
		props.Description = &description
	}
	awscdk.NewCfnOutput(s.stack, &id, props)
}

func element(c constructs.IConstruct) awscdk.CfnResource {
	return c.Node().DefaultChild().(awscdk.CfnResource)
}

// named gives a construct the logical id that the SAM template has for it.
func named[T constructs.IConstruct](c T, id string) T {
	element(c).OverrideLogicalId(&id)
	return c
}

func only(when awscdk.CfnCondition, c constructs.IConstruct) {
	element(c).CfnOptions().SetCondition(when)
}
