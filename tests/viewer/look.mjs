// Makes images of the viewer's pages in a browser: node look.mjs BROWSER NODE_MODULES FOLDER SIZE_PX
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [browserPath, packages, folder, size] = process.argv.slice(2);
const { chromium } = createRequire(join(packages, "x.js"))("playwright-core");
const side = Number(size), image = (name) => ({ path: join(folder, `${name}.png`) });
const address = (name) => pathToFileURL(join(folder, `${name}.html`)).href;

const browser = await chromium.launch({
  executablePath: browserPath,
  args: [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
  ],
});
try {
  const context = await browser.newContext({ viewport: { width: side, height: side }, hasTouch: true });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("request", (request) => /^(file|data|blob|about):/.test(request.url()) || complaints.push(request.url()));
  const open = async (name) => {
    await page.goto(address(name));
    await page.waitForSelector("body[data-ready]");
  };
  const settled = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

  await open("colored");
  await page.screenshot(image("colored"));
  await open("textured");
  await page.screenshot(image("textured"));
  for (const look of ["shape", "faces", "colours"]) {
    await page.getByText(look).click();
    await settled();
    if (look !== "colours") await page.screenshot(image(look));
  }
  await page.mouse.move(250, 150);
  await page.mouse.down();
  await page.mouse.move(150, 200, { steps: 3 });
  await page.mouse.up();
  await page.mouse.wheel(0, -100);
  await page.mouse.wheel(0, -100);
  await page.waitForTimeout(100);
  await settled();
  await page.screenshot(image("turned"));

  await page.mouse.dblclick(200, 200);  // home again
  const devtools = await context.newCDPSession(page);
  const touch = (type, points) => devtools.send("Input.dispatchTouchEvent", {
    type, touchPoints: points.map(([x, y], id) => ({ x, y, id })),
  });
  await touch("touchStart", [[150, 200], [250, 200]]);
  for (const apart of [125, 150, 175, 200]) await touch("touchMove", [[200 - apart / 2, 200], [200 + apart / 2, 200]]);
  await touch("touchEnd", []);
  await page.waitForTimeout(100);
  await settled();
  await page.screenshot(image("pinched"));

  await page.goto(address("notebook"));
  await page.frames()[1].waitForSelector("body[data-ready]");
  await page.waitForTimeout(200);
  await page.screenshot(image("notebook"));
  if (complaints.length) throw new Error(complaints.join("\n"));
} finally {
  await browser.close();
}
