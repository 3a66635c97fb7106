// The AWS SDK for JavaScript v3 with its default settings (checksums on, retries on) against `perigee cloud`.
// usage: node wire_js.mjs URL; prints a JSON object of its checks' names as its last line: true, or what went wrong. The SDK is that of
// build/peers/node (tests/peers/package.json); keys perigee/perigee, region us-east-1.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { Readable } from "node:stream";

const require = createRequire(resolve("build/peers/node/package.json"));
const ddb = require("@aws-sdk/client-dynamodb");
const doc = require("@aws-sdk/lib-dynamodb");
const s3 = require("@aws-sdk/client-s3");
const { Upload } = require("@aws-sdk/lib-storage");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");
const { createPresignedPost } = require("@aws-sdk/s3-presigned-post");
const ses = require("@aws-sdk/client-ses");
const sesv2 = require("@aws-sdk/client-sesv2");
const sqs = require("@aws-sdk/client-sqs");
const sts = require("@aws-sdk/client-sts");

const endpoint = process.argv[2];
const settings = (more) => ({ endpoint, region: "us-east-1", credentials: { accessKeyId: "perigee", secretAccessKey: "perigee" }, ...more });
const database = new ddb.DynamoDBClient(settings());
const documents = doc.DynamoDBDocumentClient.from(database);
const queues = new sqs.SQSClient(settings());
const objects = new s3.S3Client(settings({ forcePathStyle: true }));
const mail = new ses.SESClient(settings());
const mailv2 = new sesv2.SESv2Client(settings());
const tokens = new sts.STSClient(settings());

const checks = new Map();
const check = (name, fn) => checks.set(name, fn);
const put = (table, Item, more) => documents.send(new doc.PutCommand({ TableName: table, Item, ...more }));
const rejects = (promise, error, more) =>
  assert.rejects(promise, (e) => {
    assert.ok(e instanceof error, `${e.name}: ${e.message} is no ${error.name}`);
    if (more) more(e);
    return true;
  });

let made = 0;
async function table(more) {
  const TableName = `js-${++made}`;
  await database.send(new ddb.CreateTableCommand({
    TableName, BillingMode: "PAY_PER_REQUEST",
    AttributeDefinitions: [{ AttributeName: "pk", AttributeType: "S" }, { AttributeName: "sk", AttributeType: "N" }],
    KeySchema: [{ AttributeName: "pk", KeyType: "HASH" }, { AttributeName: "sk", KeyType: "RANGE" }], ...more,
  }));
  const waited = await ddb.waitUntilTableExists({ client: database, maxWaitTime: 30, minDelay: 1 }, { TableName });
  assert.equal(waited.state, "SUCCESS");
  return TableName;
}

async function queue(Attributes, suffix = "") {
  return (await queues.send(new sqs.CreateQueueCommand({ QueueName: `js-${++made}${suffix}`, Attributes }))).QueueUrl;
}

async function bucket() {
  const Bucket = `js-${++made}`;
  await objects.send(new s3.CreateBucketCommand({ Bucket }));
  await s3.waitUntilBucketExists({ client: objects, maxWaitTime: 30 }, { Bucket });
  return Bucket;
}

const text = async (answer) => answer.Body.transformToString();
const md5 = (bytes) => createHash("md5").update(bytes).digest("hex");

async function* pieces(count, size) {
  for (let i = 0; i < count; i++) yield Buffer.alloc(size, 97 + (i % 26));
}

// ==== DynamoDB ====

check("dynamodb: documents there and back", async () => {
  const name = await table();
  const item = {
    pk: "a", sk: 1, text: "Grüße", yes: true, nothing: null, list: [1, "two", { three: 3 }], map: { deep: { deeper: [] } }, empty: "",
    bytes: new Uint8Array([0, 1, 255]), strings: new Set(["x", "y"]), numbers: new Set([1, 2.5]),
  };
  await put(name, item);
  const got = await documents.send(new doc.GetCommand({ TableName: name, Key: { pk: "a", sk: 1 }, ConsistentRead: true }));
  assert.deepEqual({ ...got.Item, bytes: [...got.Item.bytes] }, { ...item, bytes: [0, 1, 255] });
  assert.ok(got.$metadata.requestId);
  const none = await documents.send(new doc.GetCommand({ TableName: name, Key: { pk: "none", sk: 1 } }));
  assert.equal(none.Item, undefined);
});

check("dynamodb: updates and conditions", async () => {
  const name = await table();
  await put(name, { pk: "a", sk: 1, n: 1 });
  const updated = await documents.send(new doc.UpdateCommand({
    TableName: name, Key: { pk: "a", sk: 1 }, UpdateExpression: "SET #n = #n + :one, l = list_append(if_not_exists(l, :none), :l)",
    ConditionExpression: "#n < :max", ExpressionAttributeNames: { "#n": "n" },
    ExpressionAttributeValues: { ":one": 1, ":max": 10, ":none": [], ":l": ["x"] }, ReturnValues: "ALL_NEW",
  }));
  assert.deepEqual(updated.Attributes, { pk: "a", sk: 1, n: 2, l: ["x"] });
  await rejects(put(name, { pk: "a", sk: 1 }, { ConditionExpression: "attribute_not_exists(pk)", ReturnValuesOnConditionCheckFailure: "ALL_OLD" }),
    ddb.ConditionalCheckFailedException, (e) => {
      assert.equal(e.message, "The conditional request failed");
      assert.equal(e.Item.n.N, "2");
      assert.equal(e.$metadata.httpStatusCode, 400);
    });
});

check("dynamodb: pages of a query and a scan", async () => {
  const name = await table();
  for (let at = 0; at < 60; at += 20) {
    const written = await documents.send(new doc.BatchWriteCommand({
      RequestItems: { [name]: Array.from({ length: 20 }, (_, i) => ({ PutRequest: { Item: { pk: "p", sk: at + i, even: (at + i) % 2 === 0 } } })) },
    }));
    assert.deepEqual(written.UnprocessedItems, {});
  }
  const seen = [];
  const asked = { TableName: name, KeyConditionExpression: "pk = :p AND sk >= :from", ExpressionAttributeValues: { ":p": "p", ":from": 5 }, Limit: 7 };
  for await (const page of doc.paginateQuery({ client: documents }, asked)) seen.push(...page.Items.map((i) => i.sk));
  assert.deepEqual(seen, Array.from({ length: 55 }, (_, i) => i + 5));
  let count = 0;
  const filter = { TableName: name, FilterExpression: "even = :t", ExpressionAttributeValues: { ":t": true }, Limit: 11 };
  for await (const page of doc.paginateScan({ client: documents }, filter)) count += page.Count;
  assert.equal(count, 30);
  const read = await documents.send(new doc.BatchGetCommand({ RequestItems: { [name]: { Keys: [{ pk: "p", sk: 1 }, { pk: "p", sk: 99 }] } } }));
  assert.equal(read.Responses[name].length, 1);
});

check("dynamodb: transactions", async () => {
  const name = await table();
  await put(name, { pk: "a", sk: 1, n: 0 });
  const ClientRequestToken = randomBytes(16).toString("hex");
  const add = () => documents.send(new doc.TransactWriteCommand({
    ClientRequestToken, TransactItems: [{ Update: { TableName: name, Key: { pk: "a", sk: 1 }, UpdateExpression: "ADD n :one", ExpressionAttributeValues: { ":one": 1 } } }],
  }));
  await add();
  await add();
  const got = await documents.send(new doc.TransactGetCommand({ TransactItems: [{ Get: { TableName: name, Key: { pk: "a", sk: 1 } } }] }));
  assert.equal(got.Responses[0].Item.n, 1);
  await rejects(documents.send(new doc.TransactWriteCommand({
    TransactItems: [{ Put: { TableName: name, Item: { pk: "never", sk: 1 } } },
      { ConditionCheck: { TableName: name, Key: { pk: "a", sk: 1 }, ConditionExpression: "n = :n", ExpressionAttributeValues: { ":n": 7 } } }],
  })), ddb.TransactionCanceledException, (e) => assert.deepEqual(e.CancellationReasons.map((r) => r.Code), ["None", "ConditionalCheckFailed"]));
});

check("dynamodb: errors by class", async () => {
  await rejects(database.send(new ddb.DescribeTableCommand({ TableName: "no-such-table" })), ddb.ResourceNotFoundException);
  const name = await table();
  await rejects(table({ TableName: name }), ddb.ResourceInUseException);
  await assert.rejects(put(name, { pk: "a" }), { name: "ValidationException" });
  const wrong = new ddb.DynamoDBClient(settings({ credentials: { accessKeyId: "perigee", secretAccessKey: "wrong" } }));
  await assert.rejects(wrong.send(new ddb.ListTablesCommand({})), { name: "InvalidSignatureException" });
  const unknown = new ddb.DynamoDBClient(settings({ credentials: { accessKeyId: "unknown", secretAccessKey: "perigee" } }));
  await assert.rejects(unknown.send(new ddb.ListTablesCommand({})), { name: "UnrecognizedClientException" });
  await assert.rejects(database.send(new ddb.CreateBackupCommand({ TableName: name, BackupName: "backup" })), { name: "UnknownOperationException" });
  await database.send(new ddb.DeleteTableCommand({ TableName: name }));
  await ddb.waitUntilTableNotExists({ client: database, maxWaitTime: 30, minDelay: 1 }, { TableName: name });
});

check("dynamodb: a clock that is wrong is corrected by the SDK", async () => {
  const late = new ddb.DynamoDBClient(settings({ systemClockOffset: -3600 * 1000 }));
  assert.ok((await late.send(new ddb.ListTablesCommand({}))).TableNames);
});

// ==== SQS ====

check("sqs: messages with attributes", async () => {
  const QueueUrl = await queue({ VisibilityTimeout: "30" });
  const MessageAttributes = {
    kind: { DataType: "String", StringValue: "tea" }, n: { DataType: "Number.int", StringValue: "7" }, raw: { DataType: "Binary", BinaryValue: new Uint8Array([0, 255]) },
  };
  const sent = await queues.send(new sqs.SendMessageCommand({ QueueUrl, MessageBody: "Grüße", MessageAttributes })); // the SDK checks the MD5
  assert.equal(sent.MD5OfMessageBody, md5("Grüße"));
  const got = await queues.send(new sqs.ReceiveMessageCommand({ QueueUrl, MessageAttributeNames: ["All"], MessageSystemAttributeNames: ["All"], WaitTimeSeconds: 2 }));
  assert.equal(got.Messages.length, 1);
  assert.equal(got.Messages[0].MessageId, sent.MessageId);
  assert.deepEqual([...got.Messages[0].MessageAttributes.raw.BinaryValue], [0, 255]);
  assert.equal(got.Messages[0].Attributes.ApproximateReceiveCount, "1");
  await queues.send(new sqs.ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle: got.Messages[0].ReceiptHandle, VisibilityTimeout: 0 }));
  const again = await queues.send(new sqs.ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 2 }));
  await queues.send(new sqs.DeleteMessageCommand({ QueueUrl, ReceiptHandle: again.Messages[0].ReceiptHandle }));
  assert.equal((await queues.send(new sqs.ReceiveMessageCommand({ QueueUrl }))).Messages, undefined);
});

check("sqs: batches and queues in pages", async () => {
  const QueueUrl = await queue();
  const Entries = Array.from({ length: 10 }, (_, i) => ({ Id: `m${i}`, MessageBody: `body ${i}` }));
  const sent = await queues.send(new sqs.SendMessageBatchCommand({ QueueUrl, Entries }));
  assert.equal(sent.Successful.length, 10);
  const got = await queues.send(new sqs.ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 2 }));
  assert.equal(got.Messages.length, 10);
  const removed = await queues.send(new sqs.DeleteMessageBatchCommand({ QueueUrl, Entries: [
    ...got.Messages.slice(1).map((m, i) => ({ Id: `${i}`, ReceiptHandle: m.ReceiptHandle })), { Id: "bad", ReceiptHandle: "garbage" }] }));
  assert.deepEqual([removed.Successful.length, removed.Failed.map((f) => [f.Id, f.SenderFault])], [9, [["bad", true]]]);
  for (let i = 0; i < 3; i++) await queue();
  const urls = [];
  for await (const page of sqs.paginateListQueues({ client: queues, pageSize: 2 }, { QueueNamePrefix: "js-" })) urls.push(...page.QueueUrls);
  assert.ok(urls.length >= 4 && new Set(urls).size === urls.length && urls.includes(QueueUrl));
});

check("sqs: a FIFO queue", async () => {
  const QueueUrl = await queue({ FifoQueue: "true", ContentBasedDeduplication: "true" }, ".fifo");
  const send = (MessageBody, MessageGroupId) => queues.send(new sqs.SendMessageCommand({ QueueUrl, MessageBody, MessageGroupId }));
  const first = await send("1", "a");
  assert.equal((await send("1", "a")).SequenceNumber, first.SequenceNumber);
  await send("2", "a");
  await send("3", "b");
  const one = await queues.send(new sqs.ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 1 }));
  const rest = await queues.send(new sqs.ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }));
  assert.deepEqual([one.Messages[0].Body, rest.Messages.map((m) => m.Body)], ["1", ["3"]]);
});

check("sqs: errors by class", async () => {
  await rejects(queues.send(new sqs.GetQueueUrlCommand({ QueueName: "no-such-queue" })), sqs.QueueDoesNotExist);
  const QueueUrl = await queue();
  await rejects(queues.send(new sqs.DeleteMessageCommand({ QueueUrl, ReceiptHandle: "garbage" })), sqs.ReceiptHandleIsInvalid);
  await rejects(queues.send(new sqs.SendMessageBatchCommand({ QueueUrl, Entries: [{ Id: "a", MessageBody: "1" }, { Id: "a", MessageBody: "2" }] })),
    sqs.BatchEntryIdsNotDistinct);
});

check("sqs: a wait ends when a message comes", async () => {
  const QueueUrl = await queue();
  const waiting = queues.send(new sqs.ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 20 }));
  await queues.send(new sqs.SendMessageCommand({ QueueUrl, MessageBody: "now" }));
  assert.equal((await waiting).Messages[0].Body, "now");
});

// ==== S3 ====

check("s3: objects, metadata, ranges and conditions", async () => {
  const Bucket = await bucket();
  const Key = "a b/ü+&=.txt";
  const stored = await objects.send(new s3.PutObjectCommand({ Bucket, Key, Body: "hello", ContentType: "text/plain", Metadata: { who: "me" } }));
  assert.equal(stored.ETag, `"${md5("hello")}"`);
  const got = await objects.send(new s3.GetObjectCommand({ Bucket, Key }));
  assert.deepEqual([await text(got), got.ContentType, got.Metadata, got.ChecksumCRC32], ["hello", "text/plain", { who: "me" }, "NhCmhg=="]);
  const part = await objects.send(new s3.GetObjectCommand({ Bucket, Key, Range: "bytes=1-3" }));
  assert.deepEqual([await text(part), part.ContentRange, part.$metadata.httpStatusCode], ["ell", "bytes 1-3/5", 206]);
  const head = await objects.send(new s3.HeadObjectCommand({ Bucket, Key }));
  assert.equal(head.ContentLength, 5);
  await assert.rejects(objects.send(new s3.PutObjectCommand({ Bucket, Key, Body: "x", IfNoneMatch: "*" })), { name: "PreconditionFailed" });
  await s3.waitUntilObjectExists({ client: objects, maxWaitTime: 30 }, { Bucket, Key });
});

check("s3: a stream as a body: chunks without signature, a checksum behind them", async () => {
  const Bucket = await bucket();
  const sent = [];
  const streams = new s3.S3Client(settings({ forcePathStyle: true }));
  streams.middlewareStack.add((next) => (args) => { sent.push(args.request.headers); return next(args); }, { step: "finalizeRequest", priority: "low" });
  for (const [count, size] of [[0, 0], [1, 1], [40, 20000]]) {
    const Body = Readable.from(pieces(count, size), { objectMode: false });
    const stored = await streams.send(new s3.PutObjectCommand({ Bucket, Key: "stream", Body, ContentLength: count * size }));
    assert.ok(stored.ChecksumCRC32);
    const headers = sent.pop();
    assert.deepEqual([headers["x-amz-content-sha256"], headers["x-amz-trailer"], headers["content-encoding"]],
      ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-checksum-crc32", "aws-chunked"]);
    const got = await objects.send(new s3.GetObjectCommand({ Bucket, Key: "stream" }));
    const bytes = await got.Body.transformToByteArray();
    assert.equal(bytes.length, count * size);
    assert.equal(got.ETag, `"${md5(bytes)}"`);
    assert.equal(got.ContentEncoding, undefined);
  }
});

check("s3: checksums of each kind", async () => {
  const Bucket = await bucket();
  for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "SHA1", "SHA256"]) {
    await objects.send(new s3.PutObjectCommand({ Bucket, Key: ChecksumAlgorithm, Body: "hello", ChecksumAlgorithm }));
    const got = await objects.send(new s3.GetObjectCommand({ Bucket, Key: ChecksumAlgorithm }));
    assert.ok(got[`Checksum${ChecksumAlgorithm}`], ChecksumAlgorithm);
    assert.equal(await text(got), "hello"); // the SDK compares
  }
  await assert.rejects(objects.send(new s3.PutObjectCommand({ Bucket, Key: "wrong", Body: "hello", ChecksumSHA256: Buffer.alloc(32).toString("base64") })),
    { name: "BadDigest" });
});

check("s3: lists in pages, deletions", async () => {
  const Bucket = await bucket();
  for (let i = 0; i < 12; i++) await objects.send(new s3.PutObjectCommand({ Bucket, Key: `d${i % 3}/k${i}`, Body: "" }));
  const keys = [];
  for await (const page of s3.paginateListObjectsV2({ client: objects, pageSize: 5 }, { Bucket })) keys.push(...page.Contents.map((o) => o.Key));
  assert.deepEqual([keys.length, [...keys].sort()], [12, keys]);
  const dirs = await objects.send(new s3.ListObjectsV2Command({ Bucket, Delimiter: "/" }));
  assert.deepEqual(dirs.CommonPrefixes.map((p) => p.Prefix), ["d0/", "d1/", "d2/"]);
  await assert.rejects(objects.send(new s3.DeleteBucketCommand({ Bucket })), { name: "BucketNotEmpty" });
  const gone = await objects.send(new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }));
  assert.equal(gone.Deleted.length, 12);
  await objects.send(new s3.DeleteObjectCommand({ Bucket, Key: "never was" }));
  await objects.send(new s3.DeleteBucketCommand({ Bucket }));
  await s3.waitUntilBucketNotExists({ client: objects, maxWaitTime: 30 }, { Bucket });
});

check("s3: copies and tags", async () => {
  const Bucket = await bucket();
  await objects.send(new s3.PutObjectCommand({ Bucket, Key: "a b", Body: "hello", Tagging: "k=v" }));
  const copy = await objects.send(new s3.CopyObjectCommand({ Bucket, Key: "c", CopySource: `${Bucket}/a%20b` }));
  assert.equal(copy.CopyObjectResult.ETag, `"${md5("hello")}"`);
  assert.ok(copy.CopyObjectResult.LastModified instanceof Date);
  const tags = await objects.send(new s3.GetObjectTaggingCommand({ Bucket, Key: "c" }));
  assert.deepEqual(tags.TagSet, [{ Key: "k", Value: "v" }]);
});

check("s3: an upload in parts from a stream", async () => {
  const Bucket = await bucket();
  const whole = randomBytes(12 * 1024 * 1024);
  const upload = new Upload({ client: objects, params: { Bucket, Key: "big", Body: Readable.from([whole]) }, partSize: 5 * 1024 * 1024 });
  const stored = await upload.done();
  assert.match(stored.ETag, /-3"$/);
  const got = await objects.send(new s3.GetObjectCommand({ Bucket, Key: "big" }));
  assert.equal(md5(await got.Body.transformToByteArray()), md5(whole));
});

check("s3: parts by hand, with checksums", async () => {
  const Bucket = await bucket();
  const Key = "a&b <ü>";
  const { UploadId, ChecksumAlgorithm } = await objects.send(new s3.CreateMultipartUploadCommand({ Bucket, Key, ChecksumAlgorithm: "SHA256" }));
  assert.equal(ChecksumAlgorithm, "SHA256");
  const bodies = [Buffer.alloc(5 * 1024 * 1024, "a"), Buffer.from("end")];
  const Parts = [];
  for (const [i, Body] of bodies.entries()) {
    const part = await objects.send(new s3.UploadPartCommand({ Bucket, Key, UploadId, PartNumber: i + 1, Body, ChecksumAlgorithm: "SHA256" }));
    Parts.push({ PartNumber: i + 1, ETag: part.ETag, ChecksumSHA256: part.ChecksumSHA256 });
  }
  const uploads = await objects.send(new s3.ListMultipartUploadsCommand({ Bucket }));
  assert.deepEqual(uploads.Uploads.map((u) => [u.Key, u.UploadId, u.Initiated instanceof Date]), [[Key, UploadId, true]]);
  const sizes = [];
  for await (const page of s3.paginateListParts({ client: objects, pageSize: 1 }, { Bucket, Key, UploadId })) sizes.push(...page.Parts.map((p) => p.Size));
  assert.deepEqual(sizes, bodies.map((b) => b.length));
  const complete = (list) => objects.send(new s3.CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts: list } }));
  await assert.rejects(complete([...Parts].reverse()), { name: "InvalidPartOrder" });
  await assert.rejects(complete([{ PartNumber: 1 }]), { name: "MalformedXML" });
  const done = await complete(Parts);
  assert.match(done.ETag, /-2"$/);
  assert.match(done.ChecksumSHA256, /-2$/);
  const second = await objects.send(new s3.GetObjectCommand({ Bucket, Key, PartNumber: 2 }));
  assert.deepEqual([await text(second), second.PartsCount], ["end", 2]);
  await objects.send(new s3.DeleteObjectCommand({ Bucket, Key }));
  await s3.waitUntilObjectNotExists({ client: objects, maxWaitTime: 30 }, { Bucket, Key });
});

check("s3: versions and rules", async () => {
  const Bucket = await bucket();
  assert.equal((await objects.send(new s3.GetBucketVersioningCommand({ Bucket }))).Status, undefined);
  await objects.send(new s3.PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Enabled" } }));
  const first = await objects.send(new s3.PutObjectCommand({ Bucket, Key: "k", Body: "1" }));
  await objects.send(new s3.PutObjectCommand({ Bucket, Key: "k", Body: "2" }));
  assert.equal((await objects.send(new s3.DeleteObjectCommand({ Bucket, Key: "k" }))).DeleteMarker, true);
  assert.equal(await text(await objects.send(new s3.GetObjectCommand({ Bucket, Key: "k", VersionId: first.VersionId }))), "1");
  const { Versions, DeleteMarkers } = await objects.send(new s3.ListObjectVersionsCommand({ Bucket }));
  assert.deepEqual([Versions.map((v) => [v.Size, v.IsLatest]), DeleteMarkers.map((m) => m.IsLatest)], [[[1, false], [1, false]], [true]]);
  const Objects = [...Versions, ...DeleteMarkers].map(({ Key, VersionId }) => ({ Key, VersionId }));
  assert.equal((await objects.send(new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects } }))).Deleted.length, 3);
  const Rules = [
    { ID: "days", Status: "Enabled", Filter: { Prefix: "tmp/" }, Expiration: { Days: 7 }, AbortIncompleteMultipartUpload: { DaysAfterInitiation: 2 } },
    { ID: "date", Status: "Disabled", Filter: { Prefix: "" }, Expiration: { Date: new Date("2030-01-01T00:00:00Z") } },
  ];
  await objects.send(new s3.PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: { Rules } }));
  assert.deepEqual((await objects.send(new s3.GetBucketLifecycleConfigurationCommand({ Bucket }))).Rules, Rules);
  const glacier = [{ ID: "g", Status: "Enabled", Filter: { Prefix: "" }, Transitions: [{ Days: 1, StorageClass: "GLACIER" }] }];
  await assert.rejects(objects.send(new s3.PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: { Rules: glacier } })), { name: "NotImplemented" });
  await assert.rejects(objects.send(new s3.GetBucketAclCommand({ Bucket })), { name: "NotImplemented" });
});

check("s3: virtual hosts", async () => {
  const Bucket = await bucket();
  const { port } = new URL(endpoint);
  const hosts = new s3.S3Client(settings({ endpoint: `http://s3.localhost:${port}`, requestHandler: { httpAgent: new http.Agent({
    lookup: (_name, options, done) => options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4),
  }) } }));
  await hosts.send(new s3.PutObjectCommand({ Bucket, Key: "k", Body: "hello" }));
  assert.equal(await text(await hosts.send(new s3.GetObjectCommand({ Bucket, Key: "k" }))), "hello");
});

check("s3: links and forms", async () => {
  const Bucket = await bucket();
  // By default the SDK signs the CRC32 of no bytes into links for uploads: as on AWS, bytes are refused (aws-sdk-js-v3 #6994).
  const empty = await getSignedUrl(objects, new s3.PutObjectCommand({ Bucket, Key: "linked" }), { expiresIn: 60 });
  const refused = await fetch(empty, { method: "PUT", body: "hello" });
  assert.match(`${refused.status} ${await refused.text()}`, /^400 .*<Code>BadDigest</s);
  const signer = new s3.S3Client(settings({ forcePathStyle: true, requestChecksumCalculation: "WHEN_REQUIRED" }));
  const putLink = await getSignedUrl(signer, new s3.PutObjectCommand({ Bucket, Key: "linked" }), { expiresIn: 60 });
  assert.equal((await fetch(putLink, { method: "PUT", body: "hello" })).status, 200);
  const getLink = await getSignedUrl(objects, new s3.GetObjectCommand({ Bucket, Key: "linked" }), { expiresIn: 60 });
  assert.equal(await (await fetch(getLink)).text(), "hello");
  assert.equal((await fetch(getLink, { method: "DELETE" })).status, 403);
  assert.equal((await fetch(getLink.replace("linked", "other"))).status, 403);
  const form = await createPresignedPost(objects, { Bucket, Key: "form", Conditions: [["content-length-range", 1, 100]], Expires: 60 });
  const fields = new FormData();
  for (const [name, value] of Object.entries(form.fields)) fields.append(name, value);
  fields.append("file", new Blob(["from a form"]));
  const posted = await fetch(form.url, { method: "POST", body: fields });
  assert.equal(posted.status, 204, await posted.text());
  assert.equal(await text(await objects.send(new s3.GetObjectCommand({ Bucket, Key: "form" }))), "from a form");
});

check("s3: errors by class", async () => {
  const Bucket = await bucket();
  await rejects(objects.send(new s3.GetObjectCommand({ Bucket, Key: "none" })), s3.NoSuchKey);
  await rejects(objects.send(new s3.HeadObjectCommand({ Bucket, Key: "none" })), s3.NotFound);
  await objects.send(new s3.CreateBucketCommand({ Bucket })); // in us-east-1 once more is fine for its owner
  await assert.rejects(objects.send(new s3.PutObjectCommand({ Bucket: "nobody-has-this", Key: "k", Body: "" })), { name: "NoSuchBucket" });
  const wrong = new s3.S3Client(settings({ forcePathStyle: true, credentials: { accessKeyId: "perigee", secretAccessKey: "wrong" } }));
  await assert.rejects(wrong.send(new s3.ListBucketsCommand({})), { name: "SignatureDoesNotMatch" });
});

// ==== SES, STS ====

check("ses: identities and mails, versions 1 and 2", async () => {
  await mail.send(new ses.VerifyEmailIdentityCommand({ EmailAddress: "one@example.com" }));
  assert.ok((await mail.send(new ses.ListIdentitiesCommand({}))).Identities.includes("one@example.com"));
  const Message = { Subject: { Data: "Grüße" }, Body: { Text: { Data: "hello" } } };
  const Destination = { ToAddresses: ["you@example.com"] };
  assert.ok((await mail.send(new ses.SendEmailCommand({ Source: "one@example.com", Destination, Message }))).MessageId);
  const RawMessage = { Data: Buffer.from("From: one@example.com\r\nTo: you@example.com\r\nSubject: raw\r\n\r\nhello\r\n") };
  assert.ok((await mail.send(new ses.SendRawEmailCommand({ RawMessage }))).MessageId);

  const made = await mailv2.send(new sesv2.CreateEmailIdentityCommand({ EmailIdentity: "two@example.com" }));
  assert.equal(made.IdentityType, "EMAIL_ADDRESS");
  await rejects(mailv2.send(new sesv2.CreateEmailIdentityCommand({ EmailIdentity: "two@example.com" })), sesv2.AlreadyExistsException);
  assert.ok((await mailv2.send(new sesv2.SendEmailCommand({ FromEmailAddress: "two@example.com", Destination, Content: { Simple: Message } }))).MessageId);
  assert.ok((await mailv2.send(new sesv2.SendEmailCommand({ Content: { Raw: RawMessage } }))).MessageId);
  assert.equal((await mailv2.send(new sesv2.GetAccountCommand({}))).SendingEnabled, true);
  await mailv2.send(new sesv2.DeleteEmailIdentityCommand({ EmailIdentity: "two@example.com" }));
  await rejects(mailv2.send(new sesv2.GetEmailIdentityCommand({ EmailIdentity: "two@example.com" })), sesv2.NotFoundException);
});

check("sts: who is calling", async () => {
  const who = await tokens.send(new sts.GetCallerIdentityCommand({}));
  assert.equal(who.Account, "000000000000");
  assert.match(who.Arn, /^arn:aws:iam::000000000000:/);
});

const results = {};
for (const [name, fn] of checks) {
  let timer;
  try {
    await Promise.race([fn(), new Promise((_, no) => { timer = setTimeout(() => no(new Error("no end within 60 s")), 60000); })]);
    results[name] = true;
  } catch (e) {
    results[name] = `${e.stack ?? e}\n${JSON.stringify(e.$metadata ?? {})}`;
  }
  clearTimeout(timer);
}
console.log(JSON.stringify(results));
process.exit(0);
