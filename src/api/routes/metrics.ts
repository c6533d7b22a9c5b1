import { createHash, timingSafeEqual } from 'node:crypto';
import { BlockList, isIPv4 } from 'node:net';
import { type Request, Router } from 'express';
import type { Dependencies } from '../dependencies.ts';
import type { Metrics } from '../metrics.ts';

const privateNetworks = new BlockList();
for (const [network, prefix] of [
  ['127.0.0.0', 8],
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
] as const) {
  privateNetworks.addSubnet(network, prefix);
}
privateNetworks.addAddress('::1', 'ipv6');
privateNetworks.addSubnet('fc00::', 7, 'ipv6');

/** What proxies add; who comes through one is not who the address says. */
const proxyHeader = /^(?:forwarded|via|x-real-ip|x-forwarded-.*)$/;

const digest = (text: string) => createHash('sha256').update(text).digest();

/**
 * `GET /metrics`, for those who run the academy. With METRICS_TOKEN its bearer opens it, from anywhere, and nothing else does. Without,
 * the address does: loopback and private networks, not through a proxy. Where the academy's own address is https there is a proxy that
 * might not say so; then a token is needed. Everybody else learns that there is nothing here.
 */
export function metricsRouter({ config }: Pick<Dependencies, 'config'>, metrics: Metrics): Router {
  const router = Router();

  function mayRead({ headers, socket }: Request): boolean {
    if (config.METRICS_TOKEN !== undefined) {
      const sent = /^Bearer (\S+)$/i.exec(headers.authorization ?? '')?.[1];
      return sent !== undefined && timingSafeEqual(digest(sent), digest(config.METRICS_TOKEN));
    }
    if (config.ATELIER_ORIGIN.startsWith('https:') || Object.keys(headers).some((name) => proxyHeader.test(name))) return false;
    const peer = socket.remoteAddress ?? '';
    return privateNetworks.check(peer, isIPv4(peer) ? 'ipv4' : 'ipv6');
  }

  router.get('/metrics', async (request, response, next) => {
    if (!mayRead(request)) {
      next();
      return;
    }
    response
      .set('Cache-Control', 'no-store')
      .type(metrics.contentType)
      .send(await metrics.scrape());
  });
  return router;
}
