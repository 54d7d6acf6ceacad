// What Connect's own client for Node makes of candor. Arguments: the URL, a file of descriptors.
// NODE_PATH names the folder of its packages.

const fs = require("node:fs");
const { createFileRegistry, fromBinary } = require("@bufbuild/protobuf");
const { FileDescriptorSetSchema } = require("@bufbuild/protobuf/wkt");
const { Code, ConnectError, createClient } = require("@connectrpc/connect");
const { createConnectTransport } = require("@connectrpc/connect-node");

const [url, file] = process.argv.slice(2);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, fs.readFileSync(file)));
const service = registry.getService("candor.v1.ExplanationService");

const sentence = ["Not a bad film."];
const asked = (nSamples, seed = 0, model = "sentences", texts = sentence) => ({
  explain: {
    model,
    input: { rows: { case: "texts", value: { texts } } },
    methods: [{ options: { case: "lime", value: { nSamples, seed: BigInt(seed) } } }],
  },
});

// A minute of work: what is to end before it does so on every machine.
const many = Array.from({ length: 100 }, (_, number) => `Not a bad film, number ${number}.`);
const endless = () => asked(100000, -1, "sentences", many);

async function refused(stream) {
  try {
    for await (const _ of stream) {
      // Until it is.
    }
  } catch (error) {
    const found = ConnectError.from(error);
    return {
      code: Code[found.code],
      message: found.rawMessage,
      details: found.details.map((detail) => detail.type),
      request: found.metadata.get("x-request-id"),
    };
  }
  return null;
}

async function session(useBinaryFormat) {
  const options = { baseUrl: url, httpVersion: "1.1", useBinaryFormat };
  const client = createClient(service, createConnectTransport(options));
  const found = { fractions: [], trailers: {} };
  const call = { onTrailer: (trailer) => trailer.forEach((v, k) => (found.trailers[k] = v)) };
  for await (const message of client.explainStream(asked(4000, 5), call)) {
    if (message.event.case === "progress") {
      found.fractions.push(message.event.value.fraction);
    } else {
      const data = message.event.value.attributions[0].values.data;
      found.values = Buffer.from(data).toString("base64");
    }
  }
  const unary = await client.explain(asked(4000, 5).explain);
  found.unary = Buffer.from(unary.attributions[0].values.data).toString("base64");
  found.unknown = await refused(client.explainStream(asked(10, 0, "fotos")));
  found.late = await refused(client.explainStream(endless(), { timeoutMs: 200 }));
  const leaving = new AbortController();
  const left = client.explainStream(endless(), { signal: leaving.signal });
  setTimeout(() => leaving.abort(), 200);
  found.left = await refused(left);
  const packed = createConnectTransport({
    ...options,
    sendCompression: require("@connectrpc/connect-node").compressionGzip,
    compressMinBytes: 0,
  });
  for await (const message of createClient(service, packed).explainStream(asked(4000, 5))) {
    if (message.event.case === "result") {
      found.packed = Buffer.from(message.event.value.attributions[0].values.data).toString("base64");
    }
  }
  return found;
}

(async () => {
  console.log(JSON.stringify({ json: await session(false), binary: await session(true) }));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
