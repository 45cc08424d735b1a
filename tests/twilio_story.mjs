// The official Node client against the fake Twilio: `node twilio_story.mjs ADDRESS ACCOUNT TOKEN PACKAGE_FOLDER`. Prints what
// it saw as JSON.
import { createRequire } from "node:module";

const [address, account, token, folder] = process.argv.slice(2);
const twilio = createRequire(`${folder}/`)("twilio");

function client(secret) {
  const made = twilio(account, secret, { autoRetry: false });
  made.api.baseUrl = address; // the whole client as it is, at our address
  return made;
}
const refused = (call) => call.then(() => "not refused", (error) => [error.status, error.code]);

const { messages } = client(token);
const [to, from] = ["+48600100200", "+15005550006"];
const made = await messages.create({ to, from, body: "Zażółć", statusCallback: "https://a.example/x" });
const listed = await messages.list({ to, limit: 5 });

console.log(JSON.stringify({
  made: [made.status, made.direction, made.body, made.dateCreated instanceof Date],
  listed: listed.map((message) => message.sid === made.sid),
  refused: [
    await refused(messages.create({ to, from, body: "" })),
    await refused(messages.create({ to: "+15005550009", from, body: "hello" })),
    await refused(client("another").messages.create({ to, from, body: "hello" })),
  ],
}));
