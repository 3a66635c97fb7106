// Node's signers on the vector of `perigee_sign --vector` (stdin): nanoseconds a signature, for so many ms.
// usage: aws_sign.js aws4|smithy MS   (NODE_PATH names where they are installed)
const v = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const crypto = require("node:crypto");
const [which, ms] = [process.argv[2], Number(process.argv[3])];
const headers = () => ({ host: v.host, "content-type": v.content_type, "x-amz-target": v.target });

function aws4() {
  const { sign } = require("aws4");
  const credentials = { accessKeyId: v.access_key, secretAccessKey: v.secret_key };
  return () =>
    sign({ host: v.host, method: "POST", path: "/", service: v.service, region: v.region, body: v.body,
           headers: { ...headers(), "X-Amz-Date": v.date }, extraHeadersToIgnore: { "content-length": true } },
         credentials).headers.Authorization;
}

// What the AWS SDK for JavaScript v3 uses under Node.
class Sha256 {
  constructor(key) { this.hash = key ? crypto.createHmac("sha256", key) : crypto.createHash("sha256"); }
  update(data) { this.hash.update(data); }
  async digest() { return this.hash.digest(); }
}

function smithy() {
  const { SignatureV4 } = require("@smithy/signature-v4");
  const signer = new SignatureV4({ service: v.service, region: v.region, sha256: Sha256, applyChecksum: false,
                                   credentials: { accessKeyId: v.access_key, secretAccessKey: v.secret_key } });
  const date = v.date.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z");
  const signingDate = new Date(date);
  return async () => (await signer.sign({ method: "POST", protocol: "https:", hostname: v.host, path: "/", query: {}, headers: headers(),
                                          body: v.body }, { signingDate })).headers.authorization;
}

async function measure(sign, limit) {
  const start = process.hrtime.bigint();
  for (let n = 0; ; ) {
    for (let i = 0; i < 200; i++) await sign();
    n += 200;
    const passed = Number(process.hrtime.bigint() - start);
    if (passed > limit * 1e6) return passed / n;
  }
}

(async () => {
  const sign = which === "aws4" ? aws4() : smithy();
  const made = await sign();
  if (!made.endsWith("Signature=" + v.signature)) throw new Error(which + " signs otherwise: " + made);
  await measure(sign, 300);
  console.log(Math.round(await measure(sign, ms)));
})();
