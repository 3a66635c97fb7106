package main

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"
)

func minutes(n float64) awscdk.Duration { return awscdk.Duration_Minutes(&n) }

func metric(statistic string, every awscdk.Duration) *awscloudwatch.MetricOptions {
	return &awscloudwatch.MetricOptions{Statistic: &statistic, Period: every}
}

// What nobody may overlook.
func (s *orders) addAlarms(api awsapigatewayv2.HttpApi, relay awslambda.Function) {
	topic := named(awssns.NewTopic(s.stack, jsii.String("Alarms"), nil), "Alarms")
	only(s.p.hasAlarmAddress, named(awssns.NewSubscription(s.stack, jsii.String("AlarmMail"), &awssns.SubscriptionProps{
		Topic: topic, Protocol: awssns.SubscriptionProtocol_EMAIL, Endpoint: s.p.alarmAddress.ValueAsString(),
	}), "AlarmMail"))
	// It goes off when the metric is over the limit in so many periods in a row.
	alarm := func(id, description string, m awscloudwatch.IMetric, periods, limit float64) awscloudwatch.Alarm {
		made := named(awscloudwatch.NewAlarm(s.stack, &id, &awscloudwatch.AlarmProps{
			AlarmDescription:   &description,
			Metric:             m,
			EvaluationPeriods:  &periods,
			Threshold:          &limit,
			ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD,
			TreatMissingData:   awscloudwatch.TreatMissingData_NOT_BREACHING,
		}), id)
		made.AddAlarmAction(awscloudwatchactions.NewSnsAction(topic))
		return made
	}
	depth := func(q awssqs.Queue) awscloudwatch.IMetric {
		return q.MetricApproximateNumberOfMessagesVisible(metric("Maximum", minutes(1)))
	}
	age := func(q awssqs.Queue) awscloudwatch.IMetric {
		return q.MetricApproximateAgeOfOldestMessage(metric("Maximum", minutes(1)))
	}
	alarm("OrderEventsUndelivered", "Order events wait in the dead-letter queue.", depth(s.orderEventsDLQ), 1, 0)
	alarm("PaymentEventsUndelivered", "Payment events wait in the dead-letter queue.", depth(s.paymentEventsDLQ), 1, 0)
	alarm("OrderEventsLate", "Order events have waited for more than five minutes.", age(s.orderEvents), 3, 300)
	alarm("PaymentEventsLate", "Payment events have waited for more than five minutes.", age(s.paymentEvents), 3, 300)
	alarm("ApiFailed", "Customers were answered with 5xx.", api.MetricServerError(metric("Sum", minutes(1))), 1, 0)
	alarm("FunctionsFailed", "A function failed, ran out of time or of memory.", s.all("Errors"), 1, 0)
	alarm("FunctionsThrottled", "Functions were not started because the account's concurrency is used up.", s.all("Throttles"), 1, 0)
	stopped := alarm("RelayStopped", "Events that were written to the outbox are not sent on.",
		relay.MetricInvocations(metric("Sum", minutes(5))), 3, 1)
	cfn := element(stopped).(awscloudwatch.CfnAlarm)
	cfn.SetComparisonOperator(jsii.String("LessThanThreshold"))
	cfn.SetTreatMissingData(jsii.String("breaching"))
}

// The sum of a metric over all functions.
func (s *orders) all(name string) awscloudwatch.IMetric {
	metrics := map[string]awscloudwatch.IMetric{}
	for _, f := range s.functions {
		id := *f.Node().Id()
		metrics[strings.ToLower(id[:1])+id[1:]] = f.Metric(&name, metric("Sum", minutes(1)))
	}
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String("SUM(METRICS())"), UsingMetrics: &metrics, Period: minutes(1)})
}
