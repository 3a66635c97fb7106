// s3rver on a port of this machine, with the keys of perigee_cloud_load. usage: cloud_s3rver.js PORT DIRECTORY
const S3rver = require("s3rver");
const [port, directory] = process.argv.slice(2);
new S3rver({ address: "127.0.0.1", port: Number(port), directory, silent: true, configureBuckets: [{ name: "bench" }] }).run();
