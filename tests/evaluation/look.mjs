// Reads an evaluation's page in a browser: node look.mjs BROWSER NODE_MODULES PAGE
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [browserPath, packages, path] = process.argv.slice(2);
const { chromium } = createRequire(join(packages, "x.js"))("playwright-core");
const browser = await chromium.launch({
  executablePath: browserPath,
  args: ["--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update"],
});
try {
  const page = await browser.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("request", (request) => /^(file|data|about):/.test(request.url()) || complaints.push(request.url()));
  await page.goto(pathToFileURL(path).href);
  await page.waitForSelector("body[data-ready]");
  const order = () => page.$$eval("article h2", (titles) => titles.map((title) => title.textContent));
  const worst_first = await order();
  await page.getByLabel("best first").check();
  const best_first = await order();
  const histograms = await page.locator("#histograms button").count();
  console.log(JSON.stringify({ worst_first, best_first, histograms, complaints }));
} finally {
  await browser.close();
}
