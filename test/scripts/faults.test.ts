import { describe, expect, it } from '@jest/globals';
import { ConfigError, readConfig } from '../../src/config.ts';

const settings = {
  ATELIER_DATABASE_URL: 'postgres://nowhere/none',
  TEMPORAL_ADDRESS: '127.0.0.1:1',
  ATELIER_ORIGIN: 'http://127.0.0.1',
  ATELIER_GIT_ORIGIN: 'http://127.0.0.1',
  ATELIER_DATA: '/nowhere',
  JWT_SECRET: 'a secret that only this test knows, long enough',
};

describe('the setting FAULT', () => {
  it('names steps and points, with or without a victim', () => {
    const FAULT = 'apply-tx:after-effect,send-mail:before:zombie';
    expect(readConfig({ ...settings, FAULT }).FAULT).toBe(FAULT);
  });

  it.each(['apply-tx', 'apply-tx:sometimes', 'nowhere:before', 'apply-tx:before:everybody', 'apply-tx:before:worker:twice', ','])(
    'refuses %s',
    (FAULT) => {
      expect(() => readConfig({ ...settings, FAULT })).toThrow(ConfigError);
    },
  );

  it('is refused in production, which starts without it', () => {
    const production = { ...settings, NODE_ENV: 'production' };
    expect(() => readConfig({ ...production, FAULT: 'apply-tx:before' })).toThrow(/FAULT: .*production/);
    expect(readConfig(production).FAULT).toBeUndefined();
  });
});
