// Asks one model through one client for Node, and prints what it was told as JSON.
// node ask.mjs CLIENT ADDRESS KEY MODEL
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";

const [client, address, key, model] = process.argv.slice(2);
const schema = { type: "object", properties: { city: { type: "string" } } };

async function anthropic() {
  const sdk = new Anthropic({ baseURL: address, apiKey: key, maxRetries: 0 });
  const asked = { model, max_tokens: 100, messages: [{ role: "user", content: "hi" }] };
  const whole = await sdk.messages.create(asked);
  const streamed = await sdk.messages.stream(asked).finalMessage();
  const tools = [{ name: "weather", input_schema: schema }];
  const called = await sdk.messages.stream({ ...asked, tools }).finalMessage();
  const use = called.content.find((block) => block.type === "tool_use");
  return { text: whole.content[0].text, streamed: streamed.content[0].text, tool: use.name, input: use.input };
}

async function openai() {
  const sdk = new OpenAI({ baseURL: `${address}/v1`, apiKey: key, maxRetries: 0 });
  const asked = { model, input: "hi" };
  const whole = await sdk.responses.create(asked);
  const streamed = await sdk.responses.stream(asked).finalResponse();
  const tools = [{ type: "function", name: "weather", parameters: schema, strict: false }];
  const called = await sdk.responses.stream({ ...asked, tools }).finalResponse();
  const call = called.output.find((item) => item.type === "function_call");
  const second = await sdk.responses.create({ ...asked, previous_response_id: whole.id });
  return {
    text: whole.output_text,
    streamed: streamed.output_text,
    tool: call.name,
    input: JSON.parse(call.arguments),
    second: second.output_text,
  };
}

async function vercel(languageModel) {
  const asked = { model: languageModel, prompt: "hi", maxRetries: 0 };
  const whole = await generateText(asked);
  const streamed = await streamText(asked).text;
  let input = null;
  const weather = tool({
    description: "The weather in a city",
    inputSchema: z.object({ city: z.string() }),
    execute: async (given) => {
      input = given;
      return "sunny";
    },
  });
  const called = await generateText({ ...asked, tools: { weather }, stopWhen: isStepCount(3) });
  const said = [{ role: "user", content: "hi" }, ...whole.response.messages, { role: "user", content: "again" }];
  const second = await generateText({ model: languageModel, messages: said, maxRetries: 0 });
  return { text: whole.text, streamed, tool: input && "weather", input, second: second.text };
}

const clients = {
  anthropic,
  openai,
  "vercel-anthropic": () => vercel(createAnthropic({ baseURL: `${address}/v1`, apiKey: key })(model)),
  "vercel-openai": () => vercel(createOpenAI({ baseURL: `${address}/v1`, apiKey: key })(model)),
};
console.log(JSON.stringify(await clients[client]()));
