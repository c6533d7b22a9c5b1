# Stand-in for node:24-bookworm-slim. Context: a folder with node_modules/node-linux-* and node_modules/npm.
ARG BASE
FROM ${BASE}
ARG ARCHITECTURE
COPY node_modules/node-linux-${ARCHITECTURE}/bin/node /usr/local/bin/node
COPY node_modules/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && node --version && npm --version
CMD ["node"]
