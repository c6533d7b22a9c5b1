#!/bin/sh
# Starts the server with our configuration instead of the image's own, which takes the password from the environment of the container.
set -eu
TEMPORAL_DATABASE_PASSWORD=$(tr -d '\r\n' < /run/secrets/temporal_password)
export TEMPORAL_DATABASE_PASSWORD
# No authorizer: only containers on the internal network `temporal` reach this server.
exec temporal-server --root /etc/atelier --config temporal --env production --allow-no-auth start
