// Draws exported meshes with three.js in a browser: node look.mjs BROWSER FOLDER
// FOLDER/jobs.json lists what `draw` in page.html takes, with the names of the images to write beside it.
import { readFileSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join, normalize } from "node:path";
import { chromium } from "playwright-core";

const [browserPath, folder] = process.argv.slice(2);
const types = { html: "text/html", js: "text/javascript", png: "image/png" };

const server = createServer(async (request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
  const file = path.startsWith("/models/") ? join(folder, path.slice(8)) : join(import.meta.dirname, path);
  try {
    const content = await readFile(file);
    response.writeHead(200, { "Content-Type": types[path.split(".").pop()] ?? "application/octet-stream" });
    response.end(content);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const launched = chromium.launch({
  executablePath: browserPath,
  args: [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
  ],
});
const browser = await launched.catch((error) => {
  console.error(error);
  process.stdout.write("no browser"); // installed, but not to be started here
  process.exit(0);
});
try {
  const page = await browser.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(`http://127.0.0.1:${server.address().port}/page.html`);
  await page.waitForFunction(() => window.ready);
  for (const { images, ...job } of JSON.parse(readFileSync(join(folder, "jobs.json"), "utf8"))) {
    const urls = await page.evaluate((each) => window.draw(each), job);
    urls.forEach((url, index) => writeFileSync(join(folder, images[index]), Buffer.from(url.split(",")[1], "base64")));
  }
  if (complaints.length) throw new Error(complaints.join("\n"));
} finally {
  await browser.close();
  server.close();
}
