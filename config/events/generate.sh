#!/bin/sh
# Writes the sample events of every function: sh config/events/generate.sh [directory], from the project's directory.
set -eu
perigee=${PERIGEE_BIN:-perigee}
to=${1:-config/events}

# http name function [options]: as each service in front of a function sends it
http() {
  name=$1 function=$2
  shift 2
  for source in $sources; do
    "$perigee" event "$source" --function "$function" "$@" >"$to/$name.$source.json"
  done
}

order='{"order_id":"sample-1","user_id":"u-1","customer_name":"Ada Lovelace","item":"Green tea","quantity":2,"total_price":1250}'
payment='{"order_id":"sample-1","payment_id":"p-1","status":"paid"}'
event() { # type id
  printf '{"type":"%s","id":"%s","correlation_id":"sample","occurred_at":"2026-01-01T00:00:00.000Z","version":1,"data":{"order_id":"sample-1"}}' "$1" "$2"
}

sources="apigw-http apigw-rest url alb"
http create-order CreateOrder --header "Idempotency-Key: sample" --body "$order"
http get-order GetOrder --path /orders/sample-1
http receipt Receipt --path /receipt/sample-1
# Without OperatorToken and PaymentsSecret these are for loopback clients only: a load balancer has none.
sources="apigw-http apigw-rest url"
http list-orders ListOrders --query user_id=u-1
http receive-payment ReceivePayment --body "$payment"
"$perigee" event sqs --function ProcessOrders --message "$(event order.created 019b76da-a800-73f0-bdee-8b15fdb4c3df)" >"$to/process-orders.sqs.json"
"$perigee" event sqs --function ProcessPayments --message "$(event payment.paid 019b76da-a800-73f0-bdee-8b2411c6b191)" >"$to/process-payments.sqs.json"
"$perigee" event schedule --function Relay >"$to/relay.schedule.json"
