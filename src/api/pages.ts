const page = (title: string, head: string, body: string) => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>${head}</head>
<body>${body}</body>
</html>
`;

/** What a browser sees at the academy's address. */
export const homePage = page(
  'Atelier',
  '',
  `<main>
<h1>Atelier</h1>
<p>A coding academy: submit code, watch the checks, get an answer from a reviewer, collect XP.</p>
<ul>
<li><a href="/docs">The API, to read and to try</a></li>
<li><a href="/openapi.json">Its OpenAPI document</a></li>
<li><a href="/health/ready">How the academy is</a></li>
</ul>
</main>`,
);

/** Swagger UI over /openapi.json. */
export const docsPage = page(
  'Atelier API',
  '<link rel="stylesheet" href="/docs/swagger-ui.css">',
  '<div id="docs"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script>',
);
