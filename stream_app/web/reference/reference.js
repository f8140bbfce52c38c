// Draws the reference from the OpenAPI document, and sends a reader's own requests. The token stays in its field: it is
// kept nowhere, and goes with requests to this server alone.

import { element, freshId } from "./dom.js";

const METHODS_WITH_BODY = ["post", "put", "patch"];
const SHOWN_CHARACTERS = 20_000;

// Text with `code` in it.
function words(text) {
  return (text ?? "").split("`").map((part, number) => (number % 2 ? element("code", {}, part) : part));
}

function json(value) {
  return element("pre", { tabindex: 0 }, typeof value === "string" ? value : JSON.stringify(value, null, 2));
}

function table(head, rows) {
  return element("div", { class: "wide", tabindex: 0 }, element("table", {},
    element("thead", {}, element("tr", {}, head.map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, rows)));
}

// The schemas that a schema refers to by name stand in the document's components.
function named(schema) {
  const name = schema?.$ref?.split("/").pop();
  return name ?? null;
}

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return named(schema);
  if (schema.anyOf || schema.oneOf) return (schema.anyOf ?? schema.oneOf).map(typeOf).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  const bounds = [["≥", schema.minimum], [">", schema.exclusiveMinimum], ["≤", schema.maximum]];
  const limits = bounds.filter(([, bound]) => bound !== undefined).map(([sign, bound]) => `${sign} ${bound}`);
  return [schema.format ?? schema.type ?? "anything", ...limits].join(", ");
}

function exampleOf(parameter) {
  const [first] = parameter.schema.examples ?? [parameter.schema.default];
  return first === undefined ? "" : [first].flat().join(",");
}

function curl(method, path, operation) {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => exampleOf(operation.parameters.find((each) => each.name === name)));
  const body = operation.requestBody?.content["application/json"]?.example;
  const parts = ["curl", method === "get" ? "" : `-X ${method.toUpperCase()}`, '-H "Authorization: Bearer $TOKEN"'];
  if (body) parts.push(`-H "Content-Type: application/json" -d '${JSON.stringify(body)}'`);
  return [...parts, `${location.origin}${filled}`].filter(Boolean).join(" ");
}

function parameters(operation) {
  if (!operation.parameters?.length) return [];
  const rows = operation.parameters.map((each) => element("tr", {},
    element("th", { scope: "row" }, element("code", {}, each.name), each.required ? element("span", { class: "required" }, " required") : ""),
    element("td", {}, each.in),
    element("td", {}, typeOf(each.schema), each.schema.default === undefined ? "" : `; ${each.schema.default} by itself`),
    element("td", {}, words(each.description))));
  return [element("h4", {}, "Parameters"), table(["name", "in", "type", "meaning"], rows)];
}

function answers(operation) {
  const parts = [element("h4", {}, "Answers")];
  for (const [status, answer] of Object.entries(operation.responses)) {
    for (const [type, content] of Object.entries(answer.content ?? {})) {
      if (content.examples) continue;
      parts.push(element("details", {},
        element("summary", {}, element("strong", {}, status), ` ${type} `, named(content.schema) ? element("code", {}, named(content.schema)) : ""),
        content.example === undefined ? [] : json(content.example)));
    }
  }
  const problems = Object.values(operation.responses).flatMap((answer) => Object.values(answer.content ?? {}))
    .flatMap((content) => Object.entries(content.examples ?? {}));
  const rows = problems.map(([code, { value }]) => element("tr", {},
    element("td", {}, value.status),
    element("th", { scope: "row" }, element("a", { href: `#problem-${code}` }, code)),
    element("td", {}, value.detail)));
  return [...parts, element("details", {}, element("summary", {}, `${problems.length} problems`), table(["status", "code", "for example"], rows))];
}

function shownText(text, type) {
  const cut = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}\n…` : text;
  if (!type.includes("json") || cut !== text) return cut;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function send(method, path, operation, form, token, out) {
  const query = new URLSearchParams();
  let filled = path;
  for (const each of operation.parameters ?? []) {
    const value = form.elements[`${each.in} ${each.name}`]?.value ?? "";
    if (each.in === "path") filled = filled.replace(`{${each.name}}`, encodeURIComponent(value));
    else if (each.in === "query" && value !== "") {
      const values = each.schema.type === "array" ? value.split(",") : [value];
      for (const one of values) query.append(each.name, one.trim());
    }
  }
  const headers = token.value ? { Authorization: `Bearer ${token.value}` } : {};
  const body = form.elements.body?.value;
  if (body) headers["Content-Type"] = "application/json";
  const address = filled + (query.size ? `?${query}` : "");
  const began = performance.now();
  const answer = await fetch(address, { method: method.toUpperCase(), headers, body, credentials: "same-origin", cache: "no-store" });
  const text = shownText(await answer.text(), answer.headers.get("content-type") ?? "");
  const seconds = `${Math.round(performance.now() - began)} ms`;
  out.replaceChildren(
    element("p", { class: answer.ok ? "good" : "bad" }, `${answer.status} ${answer.statusText}, ${seconds}, ${answer.headers.get("ratelimit") ?? ""}`),
    json(text));
}

function field(each) {
  const id = freshId("field");
  const options = each.schema.enum ?? null;
  const control = options
    ? element("select", { id, name: `${each.in} ${each.name}` }, element("option", { value: "" }, "–"), options.map((value) => element("option", {}, value)))
    : element("input", { id, name: `${each.in} ${each.name}`, required: each.required, value: each.required ? exampleOf(each) : "", autocomplete: "off" });
  return element("div", {}, element("label", { for: id }, each.name, each.schema.type === "array" ? ", separated by commas" : ""), control);
}

function trial(method, path, operation, token) {
  if (operation.responses["200"]?.content?.["text/event-stream"]) return [];
  const out = element("div", { "aria-live": "polite" });
  const id = freshId("body");
  const example = operation.requestBody?.content["application/json"]?.example;
  const form = element("form", {},
    element("div", { class: "fields" }, (operation.parameters ?? []).filter((each) => each.in !== "header").map(field)),
    METHODS_WITH_BODY.includes(method) && example
      ? [element("label", { for: id }, "body"), element("textarea", { id, name: "body" }, JSON.stringify(example, null, 2))] : [],
    element("button", { type: "submit" }, "Send"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(method, path, operation, form, token, out).catch((error) => out.replaceChildren(element("p", { class: "bad" }, String(error))));
  });
  return [element("details", { class: "trial" }, element("summary", {}, "Try it"), form, out)];
}

function operationCard(method, path, operation, token) {
  const [{ token: scopes = [] } = {}] = operation.security ?? [];
  return element("article", { id: operation.operationId },
    element("h3", {}, operation.summary),
    element("p", { class: "call" }, element("span", { class: "method" }, method.toUpperCase()), element("code", {}, path), element("span", { class: "faint" }, `needs ${scopes.join(", ")}`)),
    words(operation.description),
    json(curl(method, path, operation)),
    parameters(operation), answers(operation), trial(method, path, operation, token));
}

function problemRows(kinds) {
  return kinds.map(({ code, status, title, detail }) => element("tr", { id: `problem-${code}` },
    element("td", {}, status), element("th", { scope: "row" }, element("code", {}, code)),
    element("td", {}, title), element("td", {}, detail)));
}

function schemaCards(schemas) {
  return Object.entries(schemas).filter(([, schema]) => schema.properties).map(([name, schema]) => element("details", { id: `schema-${name}` },
    element("summary", {}, element("code", {}, name), " ", (schema.description ?? "").split("\n")[0]),
    table(["field", "type", "meaning"], Object.entries(schema.properties).map(([field, part]) => element("tr", {},
      element("th", { scope: "row" }, element("code", {}, field)), element("td", {}, typeOf(part)), element("td", {}, words(part.description)))))));
}

function draw(description) {
  const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })));
  const token = element("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false" });
  const ofTag = (name) => operations.filter(({ operation }) => operation.tags.includes(name));
  const contents = description.tags.map(({ name }) => [
    element("h2", {}, name),
    element("ul", {}, ofTag(name).map(({ operation }) => element("li", {}, element("a", { href: `#${operation.operationId}` }, operation.operationId))))]);
  return [
    element("a", { class: "skip", href: "#main" }, "To the content"),
    element("nav", { "aria-label": "Contents" }, element("div", {}, element("strong", {}, `${description.info.title} API`), contents,
      element("h2", {}, "more"),
      element("ul", {}, element("li", {}, element("a", { href: "#problems" }, "Problems")), element("li", {}, element("a", { href: "#schemas" }, "Schemas")),
        element("li", {}, element("a", { href: "/openapi.json" }, "openapi.json"))))),
    element("main", { id: "main" },
      element("h1", {}, `${description.info.title} API`),
      description.info.description.split("\n\n").map((text) => element("p", {}, words(text))),
      element("div", { class: "token" }, element("label", { for: "token" }, "Token for requests from this page; it is kept nowhere"), token),
      description.tags.map(({ name, description: text }) => element("section", {}, element("h2", {}, text),
        ofTag(name).map(({ path, method, operation }) => operationCard(method, path, operation, token)))),
      element("section", { id: "problems" }, element("h2", {}, "Problems, by code"), table(["status", "code", "meaning", "for example"], problemRows(description["x-problems"]))),
      element("section", { id: "schemas" }, element("h2", {}, "Schemas"), schemaCards(description.components.schemas))),
  ];
}

async function start() {
  const app = document.getElementById("app");
  try {
    const answer = await fetch("/openapi.json");
    app.replaceChildren(...draw(await answer.json()));
  } catch (error) {
    app.replaceChildren(element("p", { class: "loading" }, `The description cannot be loaded: ${error}`));
  }
  document.documentElement.dataset.complete = "";
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

start();
