// Uses the client that is made of the OpenAPI document, and prints what it was answered.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };

const [baseUrl = "", token = ""] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });
type Move = components["schemas"]["CustomerMigrationDocument"];

function known<T>({ data, error }: { data?: T; error?: unknown }): T {
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

const customer_id = "customer-1";
const whole = known(await client.GET("/v1/customers/{customer_id}/segments", { params: { path: { customer_id } } }));
const short = known(await client.GET("/v1/customers/{customer_id}/segments", {
  params: { path: { customer_id }, query: { include: ["reason", "next_move"] } },
}));
const several = known(await client.POST("/v1/customers/lookup", { body: { customer_ids: [customer_id, "nobody"] } }));

const moves: Move[] = [];
let cursor: string | null = null;
do {
  const query: { limit: number; cursor?: string } = cursor === null ? { limit: 2 } : { limit: 2, cursor };
  const page: components["schemas"]["HistoryDocument"] = known(
    await client.GET("/v1/customers/{customer_id}/migrations", { params: { path: { customer_id }, query } }),
  );
  moves.push(...page.migrations);
  cursor = page.next_cursor;
} while (cursor !== null);

const path = { segmentation: "value" };
const sizes = known(await client.GET("/v1/segmentations/{segmentation}/sizes", {
  params: { path, query: { from: "2026-01-01", to: "2026-01-30" } },
}));
const csv = known(await client.GET("/v1/segmentations/{segmentation}/segments/{segment}/members", {
  params: { path: { ...path, segment: "s2" }, query: { format: "csv" } },
  parseAs: "text",
}));

const unknown = await client.GET("/v1/customers/{customer_id}/segments", { params: { path: { customer_id: "nobody" } } });
const code: string | undefined = unknown.error?.code;

// @ts-expect-error: there is no such parameter
await client.GET("/v1/segmentations/{segmentation}/segments", { params: { path, query: { limt: 3 } } });

console.log(JSON.stringify({ whole, short, several, moves, sizes, csv, code, status: unknown.response.status }));
