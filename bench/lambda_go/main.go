// The echo function on AWS's runtime for Go.
package main

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func echo(_ context.Context, e events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
	body, err := json.Marshal(map[string]any{"method": e.HTTPMethod, "path": e.Path, "body": e.Body})
	return events.APIGatewayProxyResponse{
		StatusCode: 200, Headers: map[string]string{"Content-Type": "application/json"}, Body: string(body),
	}, err
}

func main() { lambda.Start(echo) }
