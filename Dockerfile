# The one image of Atelier; docker-compose.yml starts each process of it. Any glibc base with Node 20 or newer and apt will do.
ARG BASE=node:24-bookworm-slim
FROM ${BASE}
RUN apt-get update \
  && apt-get install -y --no-install-recommends git ca-certificates \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --create-home --uid 10000 atelier \
  && install -d -o atelier -g atelier /app /data
WORKDIR /app
COPY --chown=atelier package.json package-lock.json .npmrc ./
# The install scripts are not needed, nor are the embedded database and the tools of development.
RUN npm ci --omit=dev --ignore-scripts && npm cache clean --force
COPY --chown=atelier runner runner
COPY --chown=atelier content content
COPY --chown=atelier src src
ENV NODE_ENV=production ATELIER_DATA=/data HOST=0.0.0.0
USER atelier
VOLUME /data
ENTRYPOINT ["/app/node_modules/.bin/node"]
CMD ["src/api/server.ts"]
