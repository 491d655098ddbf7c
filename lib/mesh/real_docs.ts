/** Swagger UI from the files of its npm package, so that the documentation needs no network. */
import pkg from "swagger-ui-dist/package.json" with { type: "json" };
import type { DocsFiles } from "./house.ts";

const INDEX = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><title>Salar API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body><div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body>
</html>
`;

const START = `window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
`;

const PACKAGE_FILES: Readonly<Record<string, string>> = {
  "swagger-ui.css": "text/css",
  "swagger-ui-bundle.js": "text/javascript",
  "favicon-32x32.png": "image/png",
};

/** Needs read permission for the npm cache. */
export function realDocs(): DocsFiles {
  return async (name) => {
    if (name === "index.html") return text("text/html; charset=utf-8", INDEX);
    if (name === "start.js") return text("text/javascript", START);
    if (!Object.hasOwn(PACKAGE_FILES, name)) return null;
    const bytes = await Deno.readFile(new URL(import.meta.resolve(`${pkg.name}/${name}`)));
    return { type: PACKAGE_FILES[name] ?? "application/octet-stream", bytes };
  };
}

function text(type: string, content: string) {
  return { type, bytes: new TextEncoder().encode(content) };
}
