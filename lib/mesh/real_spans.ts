/** Names for the spans that Deno makes of requests. Costs nothing while OpenTelemetry is off (OTEL_DENO). */
import { trace } from "@opentelemetry/api";

/**
 * The span of the request at hand gets its route's name, such as `GET /v1/zones/{zone}`, and Deno's metric of its duration
 * the label `http.route`. Source: OpenTelemetry's conventions for HTTP spans.
 */
export function nameSpan({ method, path }: { method: string; path: string }): void {
  const span = trace.getActiveSpan();
  span?.updateName(`${method} ${path}`);
  span?.setAttribute("http.route", path);
}
