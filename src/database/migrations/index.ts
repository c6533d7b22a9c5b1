import { Migration20261121000000_init } from './Migration20261121000000_init.ts';
import { Migration20261121120000_durable_loop } from './Migration20261121120000_durable_loop.ts';

/** In the order in which they run; listed by hand, so that nothing is picked up by its file name. */
export const migrationsList = [Migration20261121000000_init, Migration20261121120000_durable_loop];
