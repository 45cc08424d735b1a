// Every call that the client has: `node client_calls.mjs FOLDER`. Prints the method and path of each as JSON.
import { pathToFileURL } from "node:url";

const { Paydesk } = await import(pathToFileURL(`${process.argv[2]}/paydesk.js`).href);
const seen = [];
const fetch = async (address, { method }) => {
  seen.push([method, new URL(address).pathname]);
  return Response.json({ data: [], has_more: false });
};
const client = new Paydesk({ url: "http://desk", key: "pdk_0", fetch });
const whom = { channel: "CHANNEL", external_id: "EXTERNAL", at: "now" };
const groups = Object.entries(client).map(([name, found]) => [name, typeof found === "function" ? { [name]: found } : found]);
for (const [group, methods] of groups) {
  for (const [name, call] of Object.entries(methods)) {
    const before = seen.length;
    await call("ID", whom);
    if (name === "cancel") await call("ID");
    if (seen.length === before) throw new Error(`${group}.${name} asks for nothing`);
  }
}
console.log(JSON.stringify(seen));
