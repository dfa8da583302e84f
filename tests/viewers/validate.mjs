// Prints what the Khronos validator says of the glTF files named, as JSON: one list of messages a file.
import { readFileSync } from "node:fs";
import validator from "gltf-validator";

const messages = [];
for (const path of process.argv.slice(2)) {
  const report = await validator.validateBytes(new Uint8Array(readFileSync(path)), { maxIssues: 20 });
  messages.push(report.issues.messages.map((issue) => `${issue.code} ${issue.pointer ?? ""}: ${issue.message}`));
}
console.log(JSON.stringify(messages));
