// Makes graphiql.html.gz, its licences and their hashes out of the packages of package-lock.json and the page beside this file:
//
//     npm ci --ignore-scripts && node make.mjs            (with --check: says whether they are what is here, and writes nothing)
//
// The page is one document with its style and its script in it, so that it needs no address but that of the graph.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const file = (name) => join(here, name);
const hash = (text, form) => createHash("sha256").update(text).digest(form);

const built = await build({
  absWorkingDir: here,
  entryPoints: ["start.jsx"],
  outdir: "made",
  write: false,
  bundle: true,
  minify: true,
  metafile: true,
  charset: "utf8",
  format: "iife",
  jsx: "automatic",
  legalComments: "none",
  target: ["es2022", "chrome111", "firefox111", "safari16"],
  define: { "process.env.NODE_ENV": '"production"' },
});
const output = (end) => built.outputFiles.find(({ path }) => path.endsWith(end)).text.trim();
// Within a text or a pattern, which is where it stands, this means the same; in a page it would begin a comment.
const script = output(".js").replaceAll("<!--", "\\x3C!--");
// Fonts are three quarters of the style, and the system has some.
const style = output(".css").replace(/@font-face\s*\{[^}]*\}/g, "");
const strange = style.match(/@import|@font-face|url\((?!["']?data:)|<\/style/i) ?? script.match(/<\/script/i);
if (strange) throw new Error(`not to be had in a page that asks nobody: ${strange[0]}`);
/** The folders of the packages of which something is in the page. */
function* packages() {
  const inputs = Object.values(built.metafile.outputs).flatMap(({ inputs }) => Object.keys(inputs));
  yield* new Set(inputs.map((input) => input.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0]).filter(Boolean).sort());
}

/** The words under which a package may be passed on. */
function licence(folder) {
  const name = readdirSync(file(folder)).find((name) => /^(licen[cs]e|copying)/i.test(name));
  if (name) return readFileSync(join(here, folder, name), "utf8");
  const readme = readdirSync(file(folder)).find((name) => /^readme/i.test(name));
  const said = readme && readFileSync(join(here, folder, readme), "utf8").match(/^#+ *licen[cs]e[^\n]*\n([^]*)/im)?.[1];
  return said ?? "";
}

// For a package that names its licence and brings no text: as its neighbours write it.
const PERMISSION = readFileSync(file("node_modules/react/LICENSE"), "utf8").match(/Permission is hereby granted[^]*/)[0].trim();
const texts = new Map();
for (const folder of packages()) {
  const { name, version, license, author, repository } = JSON.parse(readFileSync(join(here, folder, "package.json"), "utf8"));
  if (!/^(MIT|0BSD|BSD-[23]-Clause|ISC|Apache-2\.0|Python-2\.0)$/.test(license)) throw new Error(`${name}: ${license}`);
  const said = licence(folder).replace(/\r/g, "").replace(/[ \t]+$/gm, "").trim();
  const by = author?.name ?? author ?? repository?.url ?? repository;
  const whole = /permi|redistribut/i.test(said) ? said : "";
  if (!whole && !(license === "MIT" && by)) throw new Error(`${name} says neither its licence nor whose it is`);
  const words = whole || `MIT License\n\nCopyright (c) ${by}\n\n${PERMISSION}`;
  texts.set(words, [...(texts.get(words) ?? []), `${name} ${version}`]);
}
const licences = [...texts].map(([words, names]) => `${names.join(", ")}\n\n${words}\n`).join(`\n${"=".repeat(80)}\n\n`);
if (/--!?>|<!--/.test(licences)) throw new Error("a licence would end the comment that it stands in");
const page = readFileSync(file("page.html"), "utf8")
  .replace("/* licences */", () => `\n${licences}`)
  .replace("/* style */", () => style)
  .replace("/* script */", () => script);

const hashes = {
  page: hash(page, "hex"),
  script: hash(script, "base64"),
  licences: hash(licences, "hex"),
  sources: hash(["page.html", "page.css", "start.jsx", "make.mjs", "package-lock.json"].map((name) => hash(readFileSync(file(name)), "hex")).join("\n"), "hex"),
};
const list = Object.entries(hashes).map(([name, value]) => `${name} ${value}\n`).join("");
if (process.argv.includes("--check")) {
  const is = (name, read) => existsSync(file(name)) && read(readFileSync(file(name)));
  const same = is("graphiql.html.gz", gunzipSync) == page && is("LICENCES.txt", String) === licences && is("hashes.txt", String) === list;
  console.log(same ? "what is here is what is made" : "what is made is not what is here");
  process.exit(same ? 0 : 1);
}
writeFileSync(file("graphiql.html.gz"), gzipSync(page, { level: 9 }));
writeFileSync(file("LICENCES.txt"), licences);
writeFileSync(file("hashes.txt"), list);
