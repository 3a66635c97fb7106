package main

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2integrations"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambdaeventsources"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"
)

type env = map[string]*string

type function struct {
	id, handler     string
	seconds, memory float64 // 10 and 256 unless given
	env             env
	allow           []awsiam.PolicyStatement
}

func allow(actions string, resources ...*string) awsiam.PolicyStatement {
	return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions:   jsii.Strings(strings.Fields(actions)...),
		Resources: &resources,
	})
}

func below(arn *string, path string) *string { return jsii.String(*arn + path) }

func (s *orders) function(f function) awslambda.Function {
	if f.seconds == 0 {
		f.seconds = 10
	}
	if f.memory == 0 {
		f.memory = 256
	}
	if f.env == nil {
		f.env = env{}
	}
	f.env["ORDERS_TABLE"] = s.orders.TableName()
	props := &awslambda.FunctionProps{
		Runtime:       awslambda.Runtime_PROVIDED_AL2023(),
		Architecture:  awslambda.Architecture_Custom(s.p.architecture.ValueAsString(), nil),
		Handler:       &f.handler,
		Code:          s.code,
		Timeout:       awscdk.Duration_Seconds(&f.seconds),
		MemorySize:    &f.memory,
		Environment:   &f.env,
		InitialPolicy: &f.allow,
		Tracing:       awslambda.Tracing_ACTIVE,
		LoggingFormat: awslambda.LoggingFormat_JSON,
		LogGroup:      s.logs,
	}
	made := named(awslambda.NewFunction(s.stack, &f.id, props), f.id)
	element(made).AddPropertyOverride(jsii.String("LoggingConfig.ApplicationLogLevel"), s.p.logDetail.ValueAsString())
	s.functions = append(s.functions, made)
	return made
}

func (s *orders) addFunctions() {
	api := named(awsapigatewayv2.NewHttpApi(s.stack, jsii.String("ServerlessHttpApi"), &awsapigatewayv2.HttpApiProps{
		ApiName:            s.stack.StackName(),
		CreateDefaultStage: jsii.Bool(false),
		CorsPreflight: &awsapigatewayv2.CorsPreflightOptions{
			AllowOrigins: jsii.Strings("*"),
			AllowMethods: &[]awsapigatewayv2.CorsHttpMethod{
				awsapigatewayv2.CorsHttpMethod_GET, awsapigatewayv2.CorsHttpMethod_POST, awsapigatewayv2.CorsHttpMethod_OPTIONS},
			AllowHeaders:  jsii.Strings("Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id"),
			ExposeHeaders: jsii.Strings("Idempotent-Replayed", "Retry-After", "X-Request-Id"),
			MaxAge:        awscdk.Duration_Seconds(jsii.Number(600)),
		},
	}), "ServerlessHttpApi")
	s.addStage(api)
	s.addHTTP(api)
	relay := s.addWorkers()
	s.addAlarms(api, relay)
	s.output("ApiUrl", api.ApiEndpoint(), "Where the API is; PublicUrl, unless a domain of its own leads there.")
}

func (s *orders) addStage(api awsapigatewayv2.HttpApi) {
	stage := awsapigatewayv2.NewHttpStage(s.stack, jsii.String("ApiStage"), &awsapigatewayv2.HttpStageProps{
		HttpApi:    api,
		AutoDeploy: jsii.Bool(true),
		Throttle: &awsapigatewayv2.ThrottleSettings{
			RateLimit:  s.p.requestsPerSecond.ValueAsNumber(),
			BurstLimit: s.p.requestsAtOnce.ValueAsNumber(),
		},
	})
	element(stage).(awsapigatewayv2.CfnStage).SetAccessLogSettings(&awsapigatewayv2.CfnStage_AccessLogSettingsProperty{
		DestinationArn: s.accessLog.LogGroupArn(),
		Format: jsii.String(`{"requestId":"$context.requestId","time":"$context.requestTime","ip":"$context.identity.sourceIp","route":"$context.routeKey", ` +
			`"path":"$context.path","status":"$context.status","bytes":"$context.responseLength","ms":"$context.responseLatency", ` +
			`"error":"$context.integrationErrorMessage"}`),
	})
}

func (s *orders) addHTTP(api awsapigatewayv2.HttpApi) {
	route := func(method awsapigatewayv2.HttpMethod, path string, f function) {
		api.AddRoutes(&awsapigatewayv2.AddRoutesOptions{
			Path:        &path,
			Methods:     &[]awsapigatewayv2.HttpMethod{method},
			Integration: awsapigatewayv2integrations.NewHttpLambdaIntegration(jsii.String(f.id), s.function(f), nil),
		})
	}
	orders, outbox := s.orders.TableArn(), s.outbox.TableArn()
	write := "dynamodb:PutItem dynamodb:BatchWriteItem"
	route(awsapigatewayv2.HttpMethod_POST, "/orders", function{
		id: "CreateOrder", handler: "orders.create",
		env: env{
			"CURRENCY":            s.p.currency.ValueAsString(),
			"IDEMPOTENCY_SECONDS": s.p.idempotencySeconds.ValueAsString(),
			"IDEMPOTENCY_TABLE":   s.idempotency.TableName(),
			"OUTBOX_TABLE":        s.outbox.TableName(),
			"ORDER_EVENTS_QUEUE":  s.orderEvents.QueueUrl(),
		},
		allow: []awsiam.PolicyStatement{
			allow("dynamodb:PutItem dynamodb:GetItem", orders, s.idempotency.TableArn()),
			allow(write, outbox),
			allow("sqs:SendMessage*", s.orderEvents.QueueArn()),
		},
	})
	route(awsapigatewayv2.HttpMethod_GET, "/orders/{id}", function{
		id: "GetOrder", handler: "orders.get",
		allow: []awsiam.PolicyStatement{allow("dynamodb:GetItem", orders)},
	})
	route(awsapigatewayv2.HttpMethod_GET, "/orders", function{
		id: "ListOrders", handler: "orders.list",
		env: env{"PERIGEE_OPERATOR_TOKEN": s.p.operatorToken.ValueAsString()},
		allow: []awsiam.PolicyStatement{
			allow("dynamodb:BatchGetItem", orders),
			allow("dynamodb:Query", below(orders, "/index/*")),
		},
	})
	route(awsapigatewayv2.HttpMethod_POST, "/payments", function{
		id: "ReceivePayment", handler: "payments.receive",
		env: env{
			"PAYMENTS_TABLE":          s.payments.TableName(),
			"OUTBOX_TABLE":            s.outbox.TableName(),
			"PAYMENT_EVENTS_QUEUE":    s.paymentEvents.QueueUrl(),
			"PERIGEE_PAYMENTS_SECRET": s.p.paymentsSecret.ValueAsString(),
		},
		allow: []awsiam.PolicyStatement{
			allow("dynamodb:GetItem dynamodb:UpdateItem", orders),
			allow("dynamodb:GetItem dynamodb:PutItem", s.payments.TableArn()),
			allow(write, outbox),
			allow("sqs:SendMessage*", s.paymentEvents.QueueArn()),
		},
	})
	route(awsapigatewayv2.HttpMethod_GET, "/receipt/{orderId}", function{
		id: "Receipt", handler: "receipts.link",
		env: env{
			"RECEIPTS_BUCKET":      s.receipts.BucketName(),
			"RECEIPT_LINK_SECONDS": s.p.receiptLinkSeconds.ValueAsString(),
			"OUTBOX_TABLE":         s.outbox.TableName(),
			"ORDER_EVENTS_QUEUE":   s.orderEvents.QueueUrl(),
		},
		allow: []awsiam.PolicyStatement{
			allow("dynamodb:GetItem dynamodb:UpdateItem", orders),
			allow(write, outbox),
			allow("s3:GetObject", below(s.receipts.BucketArn(), "/receipts/*")),
			allow("s3:ListBucket", s.receipts.BucketArn()), // without it a missing object reads as 403
			allow("sqs:SendMessage*", s.orderEvents.QueueArn()),
		},
	})
}

func (s *orders) addWorkers() (relay awslambda.Function) {
	s.process("ProcessOrders", "process.order", s.orderEvents)
	s.process("ProcessPayments", "process.payment", s.paymentEvents)
	relay = s.function(function{
		id: "Relay", handler: "relay.run", seconds: 50,
		env: env{
			"OUTBOX_TABLE":         s.outbox.TableName(),
			"ORDER_EVENTS_QUEUE":   s.orderEvents.QueueUrl(),
			"PAYMENT_EVENTS_QUEUE": s.paymentEvents.QueueUrl(),
		},
		allow: []awsiam.PolicyStatement{
			allow("dynamodb:Query dynamodb:BatchWriteItem", s.outbox.TableArn()),
			allow("sqs:SendMessage*", s.orderEvents.QueueArn(), s.paymentEvents.QueueArn()),
		},
	})
	relay.ConfigureAsyncInvoke(&awslambda.EventInvokeConfigOptions{ // the next minute is retry enough
		RetryAttempts: jsii.Number(0),
		MaxEventAge:   awscdk.Duration_Seconds(jsii.Number(60)),
	})
	awsevents.NewRule(s.stack, jsii.String("RelayClock"), &awsevents.RuleProps{
		Schedule: awsevents.Schedule_Rate(awscdk.Duration_Minutes(jsii.Number(1))),
		Targets:  &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(relay, nil)},
	})
	return relay
}

func (s *orders) process(id, handler string, queue awssqs.Queue) {
	f := s.function(function{
		id: id, handler: handler, memory: 512,
		env: env{
			"BRAND":             s.p.brand.ValueAsString(),
			"FONT_PATHS":        s.p.fontPaths.ValueAsString(),
			"EFFECT_SECONDS":    jsii.String("1728000"), // longer than a message can live: in its queue (4 days) and in the DLQ (14 days)
			"IDEMPOTENCY_TABLE": s.idempotency.TableName(),
			"PUBLIC_URL":        s.p.publicURL.ValueAsString(),
			"RECEIPTS_BUCKET":   s.receipts.BucketName(),
			"SENDER_ADDRESS":    s.p.sender.ValueAsString(),
		},
		allow: []awsiam.PolicyStatement{
			allow("dynamodb:GetItem dynamodb:UpdateItem", s.orders.TableArn()),
			allow("dynamodb:GetItem dynamodb:PutItem dynamodb:UpdateItem dynamodb:DeleteItem", s.idempotency.TableArn()),
			allow("s3:PutObject", below(s.receipts.BucketArn(), "/receipts/*")),
			allow("ses:SendRawEmail", s.stack.FormatArn(&awscdk.ArnComponents{
				Service: jsii.String("ses"), Resource: jsii.String("identity"), ResourceName: jsii.String("*")})),
		},
	})
	f.AddEventSource(awslambdaeventsources.NewSqsEventSource(queue, &awslambdaeventsources.SqsEventSourceProps{
		BatchSize:               jsii.Number(10),
		ReportBatchItemFailures: jsii.Bool(true),
		MaxConcurrency:          jsii.Number(16),
	}))
}
