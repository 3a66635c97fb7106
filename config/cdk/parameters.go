package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

type parameters struct {
	brand, currency, fontPaths, publicURL, sender, paymentsSecret, operatorToken awscdk.CfnParameter
	idempotencySeconds, receiptLinkSeconds                                       awscdk.CfnParameter
	architecture, requestsPerSecond, requestsAtOnce                              awscdk.CfnParameter
	logDetail, logDays, alarmAddress                                             awscdk.CfnParameter
	hasSender, hasAlarmAddress                                                   awscdk.CfnCondition
}

func newParameters(stack awscdk.Stack) parameters {
	text := func(id, value, description string) awscdk.CfnParameter {
		return awscdk.NewCfnParameter(stack, &id, &awscdk.CfnParameterProps{
			Type: jsii.String("String"), Default: value, Description: &description})
	}
	secret := func(id, description string) awscdk.CfnParameter {
		p := text(id, "", description)
		p.SetNoEcho(jsii.Bool(true))
		return p
	}
	number := func(id string, value, min float64, description string) awscdk.CfnParameter {
		return awscdk.NewCfnParameter(stack, &id, &awscdk.CfnParameterProps{
			Type: jsii.String("Number"), Default: value, MinValue: &min, Description: &description})
	}
	given := func(id string, p awscdk.CfnParameter) awscdk.CfnCondition {
		empty := awscdk.Fn_ConditionEquals(p.ValueAsString(), "")
		return awscdk.NewCfnCondition(stack, &id, &awscdk.CfnConditionProps{Expression: awscdk.Fn_ConditionNot(empty)})
	}

	p := parameters{
		brand:              text("Brand", "Perigee", "The name at the head of receipts and mails."),
		currency:           text("Currency", "EUR", "ISO 4217 code of orders that name none."),
		fontPaths:          text("FontPaths", "", "TrueType files for receipts, separated by ':'; empty means the fonts that the host finds by itself."),
		idempotencySeconds: number("IdempotencySeconds", 86400, 60, "How long answers are kept for requests that come again under the same Idempotency-Key."),
		receiptLinkSeconds: number("ReceiptLinkSeconds", 300, 1, "How long a receipt link works."),
		publicURL:          text("PublicUrl", "", "Where customers reach the API, for the link in receipt mails; empty means mails carry the PDF only."),
		sender:             text("SenderAddress", "", "From address of receipt mails, a verified SES identity; empty means no mail is sent."),
		paymentsSecret:     secret("PaymentsSecret", "Key of the payment provider's signatures; empty means unsigned payments, from loopback only."),
		operatorToken:      secret("OperatorToken", "Bearer token of GET /orders; empty means loopback only."),
		architecture:       text("Architecture", "arm64", "What the package was built for; `./dev package` says it."),
		requestsPerSecond:  number("RequestsPerSecond", 100, 1, "How many requests the API takes on average; more are answered with 429."),
		requestsAtOnce:     number("RequestsAtOnce", 200, 1, "How many requests the API takes in one burst."),
		logDetail:          text("LogDetail", "INFO", "The least level of log lines that are kept."),
		logDays: awscdk.NewCfnParameter(stack, jsii.String("LogDays"), &awscdk.CfnParameterProps{
			Type: jsii.String("Number"), Default: "30", Description: jsii.String("How long logs are kept.")}),
		alarmAddress: text("AlarmAddress", "", "Who gets mail when an alarm goes off; empty means nobody."),
	}
	p.currency.SetAllowedPattern(jsii.String("[A-Z]{3}"))
	p.receiptLinkSeconds.SetMaxValue(jsii.Number(604800))
	p.architecture.SetAllowedValues(jsii.Strings("arm64", "x86_64"))
	p.logDetail.SetAllowedValues(jsii.Strings("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"))
	p.logDays.SetAllowedValues(jsii.Strings("1", "3", "5", "7", "14", "30", "60", "90", "120", "150", "180", "365", "400", "545",
		"731", "1096", "1827", "2192", "2557", "2922", "3288", "3653"))
	p.hasSender = given("HasSender", p.sender)
	p.hasAlarmAddress = given("HasAlarmAddress", p.alarmAddress)
	return p
}
