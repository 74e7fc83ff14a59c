// Holds resources of the Prometheus operator against its published types: FOLDER/resources.json with a
// list of resources. Prints what the schemas refuse, and writes FOLDER/check.ts, in which `tsc` finds
// fields that they don't have.
import { readFileSync, writeFileSync } from "node:fs";

const [folder] = process.argv.slice(2);
const types = "@kubernetes-models/prometheus-operator/monitoring.coreos.com";
let checked = "";
const resources = JSON.parse(readFileSync(`${folder}/resources.json`, "utf8"));
for (const [index, resource] of resources.entries()) {
  const version = resource.apiVersion.split("/")[1];
  const { kind } = resource;
  // The types ask for these where the operator's own schema does not.
  const claim = resource.spec.storage?.volumeClaimTemplate;
  if (claim) Object.assign(claim, { apiVersion: "monitoring.coreos.com/v1", kind: "EmbeddedPersistentVolumeClaim" });
  const model = (await import(`${types}/${version}/${kind}`))[kind];
  try {
    new model(resource).validate();
  } catch (error) {
    console.log(`${kind} ${resource.metadata.name}: ${error.message}`);
  }
  checked += `import type { I${kind} as T${index} } from "${types}/${version}/${kind}";\n`;
  checked += `export const r${index}: T${index} = ${JSON.stringify(resource, null, 2)};\n`;
}
writeFileSync(`${folder}/check.ts`, checked);
