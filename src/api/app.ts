import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import express, { type Express, type Request, type Response } from 'express';
import helmet from 'helmet';
import { pinoHttp } from 'pino-http';
import { contract } from './contract/contract.ts';
import type { Dependencies } from './dependencies.ts';
import { createMetrics } from './metrics.ts';
import { errorHandler } from './middleware/error-handler.ts';
import { HttpProblem } from './middleware/problems.ts';
import { traceOf, traceRequests } from './middleware/trace.ts';
import { mount } from './mount.ts';
import { openApiDocument } from './openapi.ts';
import { docsPage, homePage } from './pages.ts';
import { adminHandlers } from './routes/admin.ts';
import { eventsHandlers } from './routes/events.ts';
import { exercisesHandlers } from './routes/exercises.ts';
import { gitRouter } from './routes/git.ts';
import { healthRouter } from './routes/health.ts';
import { metricsRouter } from './routes/metrics.ts';
import { notificationsHandlers } from './routes/notifications.ts';
import { reviewsHandlers } from './routes/reviews.ts';
import { runsHandlers } from './routes/runs.ts';
import { scoringHandlers } from './routes/scoring.ts';
import { submissionsHandlers } from './routes/submissions.ts';
import { tasksHandlers } from './routes/tasks.ts';
import { usersHandlers } from './routes/users.ts';

const swaggerFolder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));

/** The whole HTTP application over its dependencies; it listens nowhere. */
export function createApp(dependencies: Dependencies): Express {
  const app = express();
  app.disable('x-powered-by');
  const metrics = createMetrics(dependencies.orm, contract);
  app.use(metrics.measure);
  app.use(traceRequests);
  app.use(
    pinoHttp<Request, Response>({
      logger: dependencies.logger,
      genReqId: (_request, response) => traceOf(response)?.requestId ?? '',
      // The line of a request is written when its connection says so, outside of its trace.
      customSuccessObject: (_request, response, line: object) => ({ ...line, ...traceOf(response) }),
      customErrorObject: (_request, response, _error, line: object) => ({ ...line, ...traceOf(response) }),
      autoLogging: { ignore: ({ url }) => url.startsWith('/health') || url.startsWith('/metrics') },
      serializers: {
        // Without the query: a token that somebody puts there by mistake must not be kept.
        req: ({ id, method, url }: { id: string; method: string; url: string }) => ({ id, method, url: url.split('?')[0] }),
        res: ({ statusCode }: { statusCode: number }) => ({ statusCode }),
      },
    }),
  );
  app.use(helmet({ contentSecurityPolicy: { directives: { upgradeInsecureRequests: null } } }));
  app.use('/health', healthRouter(dependencies));
  app.use(metricsRouter(dependencies, metrics));
  app.use('/git', gitRouter(dependencies));
  app.use(
    '/api',
    mount(
      contract,
      {
        ...usersHandlers(dependencies),
        ...exercisesHandlers,
        ...tasksHandlers(dependencies),
        ...submissionsHandlers(dependencies),
        ...eventsHandlers(dependencies),
        ...runsHandlers(dependencies),
        ...reviewsHandlers(dependencies),
        ...notificationsHandlers(dependencies),
        ...scoringHandlers,
        ...adminHandlers(dependencies),
      },
      dependencies,
    ),
  );
  const document = openApiDocument(contract, dependencies.config.ATELIER_ORIGIN);
  app.get('/openapi.json', (_request, response) => {
    response.json(document);
  });
  app.get('/docs', (_request, response) => {
    response.type('html').send(docsPage);
  });
  // The page's own script: the content security policy allows none inside the page.
  app.get('/docs/start.js', (_request, response) => {
    response.type('js').send("SwaggerUIBundle({ url: '/openapi.json', dom_id: '#docs' });");
  });
  for (const file of ['swagger-ui.css', 'swagger-ui-bundle.js']) {
    app.get(`/docs/${file}`, (_request, response) => response.sendFile(join(swaggerFolder, file)));
  }
  app.get('/', (_request, response) => {
    response.type('html').send(homePage);
  });
  app.use((request) => {
    throw new HttpProblem(404, 'not-found', `There is nothing at ${request.path}.`);
  });
  app.use(errorHandler);
  return app;
}
