# Stand-in for temporalio/server and temporalio/admin-tools. Context: a folder with the three programs.
ARG BASE
FROM ${BASE}
RUN groupadd --gid 1000 temporal && useradd --uid 1000 --gid temporal --create-home temporal
COPY temporal temporal-server temporal-sql-tool /usr/local/bin/
USER temporal
