// The order system as a CDK application: the same stack as config/template.yaml, which remains the one that `perigee serve`
// reads. tests/peers/cdk_spec.lua holds the two against each other.
package main

import (
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

func main() {
	defer jsii.Close()
	app := awscdk.NewApp(&awscdk.AppProps{AnalyticsReporting: jsii.Bool(false)})
	pkg := fmt.Sprint(app.Node().TryGetContext(jsii.String("package")))
	if _, err := os.Stat(pkg); err != nil {
		fmt.Fprintf(os.Stderr, "no package: %v (make it by `./dev package`, or name it: cdk synth -c package=FILE)\n", err)
		os.Exit(1)
	}
	newOrders(app, pkg)
	app.Synth(nil)
}
