// Reads visits from the standard input and writes what each found to the standard output, both as JSON.
//
// A visit: {url, width, scheme, actions, axe, screenshot}. Actions, in their order: {click: selector}, {fill: [selector,
// text]}, {choose: [selector, value]}, {press: key}, {download: selector}, {wait: selector}, {gone: selector},
// {visit: url}, {evaluate: expression}, {until: expression}, {pause: milliseconds}, {tell: a file, which is written
// then}, {look: file of a picture, or null}: checks what is shown as a visit does at its end.

import { readFile, writeFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const AXE = await readFile(new URL("./node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const PATIENCE_MS = 30_000;
const HEIGHT = 900;

async function act(page, action, found) {
  const [[kind, value]] = Object.entries(action);
  if (kind === "click") await page.click(value);
  else if (kind === "fill") await page.fill(...value);
  else if (kind === "choose") await page.selectOption(...value);
  else if (kind === "press") await page.keyboard.press(value);
  else if (kind === "wait") await page.waitForSelector(value);
  else if (kind === "gone") await page.waitForSelector(value, { state: "detached" });
  else if (kind === "visit") await page.goto(value);
  else if (kind === "evaluate") found.values.push(await page.evaluate(value));
  else if (kind === "tell") await writeFile(value, "");
  else if (kind === "look") await look(page, value, found);
  else if (kind === "until") await until(page, value);
  else if (kind === "pause") await page.waitForTimeout(value);
  else if (kind === "download") {
    const [file] = await Promise.all([page.waitForEvent("download"), page.click(value)]);
    found.downloads.push({ name: file.suggestedFilename(), text: await readFile(await file.path(), "utf8") });
  } else throw new Error(`no such action: ${kind}`);
}

// `waitForFunction` would evaluate within the page, whose policy forbids it.
async function until(page, expression) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await page.evaluate(expression))) {
    if (Date.now() > end) throw new Error(`never came true: ${expression}`);
    await page.waitForTimeout(50);
  }
}

async function check(page, found) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  found.violations.push(...violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html).join(" | ")}`));
}

async function look(page, screenshot, found) {
  await check(page, found);
  if (screenshot !== null) await page.screenshot({ path: screenshot, fullPage: true });
}

async function visit(browser, { url, width = 1280, scheme = "light", actions = [], axe = false, screenshot = null }) {
  const context = await browser.newContext({ viewport: { width, height: HEIGHT }, colorScheme: scheme, reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const found = { errors: [], requests: [], downloads: [], violations: [], values: [] };
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && found.errors.push(message.text()));
  page.on("pageerror", (error) => found.errors.push(String(error.stack ?? error)));
  page.on("request", (request) => request.url().startsWith("blob:") || found.requests.push(request.url()));
  try {
    await page.goto(url);
    await page.waitForSelector("html[data-complete]", { state: "attached" });
    for (const action of actions) await act(page, action, found);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    if (axe) await check(page, found);
    if (screenshot !== null) await page.screenshot({ path: screenshot, fullPage: true });
    found.html = await page.evaluate(() => document.getElementById("app").outerHTML);
    found.title = await page.title();
    found.address = await page.evaluate(() => location.hash);
    found.focused = await page.evaluate(() => document.activeElement.tagName);
    found.sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    found.blank = await page.evaluate(() => [...document.querySelectorAll("canvas")].filter((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.every((value) => value === 0);
    }).length);
  } finally {
    await context.close();
  }
  return found;
}

let input = "";
for await (const part of process.stdin) input += part;
const { chromium: executablePath, visits } = JSON.parse(input);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-quic"] });
try {
  const found = [];
  for (const each of visits) found.push(await visit(browser, each));
  process.stdout.write(JSON.stringify(found));
} finally {
  await browser.close();
}
