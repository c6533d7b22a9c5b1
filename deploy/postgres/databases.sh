#!/bin/sh
# Makes the roles and databases of Atelier and Temporal, and gives the roles the passwords of the secret files. Safe to repeat: so a
# password is changed by changing its file. Neither role sees the other's database; neither is a superuser.
set -eu
PGPASSWORD=$(tr -d '\r\n' < /run/secrets/postgres_password)
temporal=$(tr -d '\r\n' < /run/secrets/temporal_password)
atelier=$(sed -n 's#^postgres://atelier:\([^@]*\)@.*#\1#p' /run/secrets/database_url)
export PGPASSWORD temporal atelier

psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet -h postgres -U postgres -d postgres <<'SQL'
\getenv atelier atelier
\getenv temporal temporal
SELECT format('CREATE ROLE %I LOGIN', name) FROM unnest(ARRAY['atelier', 'temporal']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
-- The server's log must not get a password, also where it logs statements.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
ALTER ROLE atelier PASSWORD :'atelier';
ALTER ROLE temporal PASSWORD :'temporal';
SELECT format('CREATE DATABASE %I OWNER %I', name, owner)
  FROM (VALUES ('atelier', 'atelier'), ('temporal', 'temporal'), ('temporal_visibility', 'temporal')) AS wanted (name, owner)
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec
REVOKE ALL ON DATABASE atelier, temporal, temporal_visibility, postgres FROM PUBLIC;
SQL
echo 'roles and databases are there'
