// DynamoDB calls by the AWS SDK for JavaScript v3 with a keep-alive agent: the figures of perigee_aws_calls.
// usage: aws_calls.js PORT CONCURRENT MS [PutItem|GetItem]   (NODE_PATH names where it is installed)
const http = require("node:http");
const { DynamoDBClient, GetItemCommand, PutItemCommand } = require("@aws-sdk/client-dynamodb");
const { NodeHttpHandler } = require("@smithy/node-http-handler");

const [port, concurrent, ms] = process.argv.slice(2, 5).map(Number);
const get = process.argv[5] === "GetItem";
const client = new DynamoDBClient({
  region: "us-east-1",
  endpoint: "http://127.0.0.1:" + port,
  credentials: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" },
  requestHandler: new NodeHttpHandler({ httpAgent: new http.Agent({ keepAlive: true, maxSockets: concurrent }) }),
});
const Item = {
  order_id: { S: "0193514e-5b4c-7cc1-a2b3-6f1f2f0e8a11" }, user_id: { S: "u-42" }, status: { S: "PENDING" }, total: { N: "1250" },
  created_at: { S: "2026-11-22T05:30:00.000Z" }, items: { L: [{ M: { sku: { S: "tea" }, quantity: { N: "2" } } }] },
};
const call = () =>
  client.send(get ? new GetItemCommand({ TableName: "Orders", Key: { order_id: Item.order_id } })
                  : new PutItemCommand({ TableName: "Orders", Item }));

async function run(limit) {
  const until = performance.now() + limit;
  let n = 0;
  await Promise.all(Array.from({ length: concurrent }, async () => {
    while (performance.now() < until) {
      await call();
      n++;
    }
  }));
  return n;
}

(async () => {
  await run(500);
  const start = performance.now(), before = process.cpuUsage();
  const n = await run(ms);
  const cpu = process.cpuUsage(before);
  console.log(JSON.stringify({ calls: n, per_second: Math.round((n * 1000) / (performance.now() - start)),
                               cpu_us: Math.round(((cpu.user + cpu.system) / n) * 10) / 10 }));
  client.destroy();
})();
