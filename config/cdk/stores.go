package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsses"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"
)

func key(name string) *awsdynamodb.Attribute {
	return &awsdynamodb.Attribute{Name: &name, Type: awsdynamodb.AttributeType_STRING}
}

// A table stays when the stack is deleted.
func (s *orders) table(id string, props awsdynamodb.TableProps) awsdynamodb.Table {
	props.BillingMode = awsdynamodb.BillingMode_PAY_PER_REQUEST
	props.Encryption = awsdynamodb.TableEncryption_AWS_MANAGED
	props.PointInTimeRecoverySpecification = &awsdynamodb.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: jsii.Bool(true)}
	props.RemovalPolicy = awscdk.RemovalPolicy_RETAIN
	return named(awsdynamodb.NewTable(s.stack, &id, &props), id)
}

func (s *orders) addStores() {
	s.orders = s.table("Orders", awsdynamodb.TableProps{PartitionKey: key("order_id")})
	index := func(name, attribute string) {
		s.orders.AddGlobalSecondaryIndex(&awsdynamodb.GlobalSecondaryIndexProps{
			IndexName:      &name,
			PartitionKey:   key(attribute),
			SortKey:        key("created_at"),
			ProjectionType: awsdynamodb.ProjectionType_KEYS_ONLY,
		})
	}
	index("by_status", "status")
	index("by_user", "user_id")
	s.payments = s.table("Payments", awsdynamodb.TableProps{PartitionKey: key("order_id"), SortKey: key("payment_id")})
	s.outbox = s.table("Outbox", awsdynamodb.TableProps{PartitionKey: key("shard"), SortKey: key("event_id")})
	s.idempotency = s.table("Idempotency", awsdynamodb.TableProps{PartitionKey: key("key"), TimeToLiveAttribute: jsii.String("expires_at")})

	s.orderEvents, s.orderEventsDLQ = s.queues("OrderEvents")
	s.paymentEvents, s.paymentEventsDLQ = s.queues("PaymentEvents")

	s.receipts = named(awss3.NewBucket(s.stack, jsii.String("Receipts"), &awss3.BucketProps{
		Encryption:        awss3.BucketEncryption_S3_MANAGED,
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		EnforceSSL:        jsii.Bool(true),
		Versioned:         jsii.Bool(true),
		RemovalPolicy:     awscdk.RemovalPolicy_RETAIN,
		LifecycleRules: &[]*awss3.LifecycleRule{
			{Id: jsii.String("overwritten"), NoncurrentVersionExpiration: awscdk.Duration_Days(jsii.Number(30))},
			{Id: jsii.String("unfinished"), AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(1))},
		},
	}), "Receipts")

	sender := awsses.NewEmailIdentity(s.stack, jsii.String("Sender"), &awsses.EmailIdentityProps{
		Identity: awsses.Identity_Email(s.p.sender.ValueAsString()),
	})
	only(s.p.hasSender, named(sender, "Sender"))
}

// A queue and its dead-letter queue. Six times the functions' timeout is what AWS advises for the visibility timeout.
func (s *orders) queues(id string) (queue, dlq awssqs.Queue) {
	days := func(n float64) awscdk.Duration { return awscdk.Duration_Days(&n) }
	dead := id + "DLQ"
	dlq = named(awssqs.NewQueue(s.stack, &dead, &awssqs.QueueProps{
		RetentionPeriod: days(14),
		Encryption:      awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:      jsii.Bool(true),
	}), dead)
	queue = named(awssqs.NewQueue(s.stack, &id, &awssqs.QueueProps{
		VisibilityTimeout: awscdk.Duration_Seconds(jsii.Number(60)),
		RetentionPeriod:   days(4),
		Encryption:        awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:        jsii.Bool(true),
		DeadLetterQueue:   &awssqs.DeadLetterQueue{Queue: dlq, MaxReceiveCount: jsii.Number(5)},
	}), id)
	return queue, dlq
}
