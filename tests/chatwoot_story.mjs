// Figuro's JavaScript SDK against the fake Chatwoot: `node chatwoot_story.mjs ADDRESS TOKEN PACKAGE_FOLDER`. Prints what it saw.
import { createRequire } from "node:module";

const [address, token, folder] = process.argv.slice(2);
const { default: Chatwoot } = createRequire(`${folder}/`)("@figuro/chatwoot-sdk");
const own = (secret) => new Chatwoot({ config: { basePath: address, with_credentials: true, credentials: "include", token: secret } });
const refused = (call) => call.then(() => "not refused", (error) => error.status);

const chatwoot = own(token);
const one = { accountId: 1, conversationId: 17 };
const said = await chatwoot.messages.create({ ...one, data: { content: "Zażółć", content_attributes: { paydesk: "paid:ord_1" } } });
const note = await chatwoot.messages.create({ ...one, data: { content: "Only for us", private: true } });
const listed = await chatwoot.messages.list(one);
const labelled = await chatwoot.conversationLabels.add({ ...one, data: { labels: ["vip", "big"] } });
const replaced = await chatwoot.conversationLabels.add({ ...one, data: { labels: ["payment-paid"] } });
const labels = await chatwoot.conversationLabels.list(one);
await chatwoot.conversations.toggleStatus({ ...one, data: { status: "resolved" } });
await chatwoot.contacts.update({ accountId: 1, id: 42, data: { custom_attributes: { segment: "urgent" } } });
const shown = await chatwoot.conversations.get(one);

console.log(JSON.stringify({
  said: [said.content, said.private, said.conversation_id],
  note: note.private,
  listed: listed.payload.map((message) => message.content),
  labels: [labelled.payload, replaced.payload, labels.payload],
  shown: [shown.id, shown.status, shown.meta.sender.id],
  refused: [
    await refused(own("wrong-token").profile.profile()),
    await refused(chatwoot.conversations.get({ accountId: 1, conversationId: 99 })),
    await refused(chatwoot.messages.create({ ...one, data: { content: "   " } })),
  ],
}));
