#!/bin/sh
# Brings both databases of Temporal to the schema of this image's version. Safe to repeat; run by each `up`, so also by an upgrade.
set -eu
SQL_PASSWORD=$(tr -d '\r\n' < /run/secrets/temporal_password)
export SQL_PASSWORD

upgrade() {
  tool="temporal-sql-tool --plugin postgres12 --endpoint postgres --port 5432 --user temporal --database $1"
  # Makes the tables of versions, and leaves the version alone where there is one.
  $tool setup-schema --version 0.0
  $tool update-schema --schema-name "postgresql/v12/$2"
}

upgrade temporal temporal
upgrade temporal_visibility visibility
