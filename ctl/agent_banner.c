/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `muster agent` prints before the log begins, in the form of Consul's agent.
 */
#include <stdio.h>

#include "ctl/agent.h"
#include "version.h"

void agent_banner_print(const struct conf *c, const char *title)
{
	char id[UUID_TEXT_SIZE + 1] = "";
	struct uuid uuid;

	if (conf_node_id(c, &uuid) == 0) {
		uuid_text(&uuid, id);
	}
	printf("==> Starting %s agent...\n", title);
	printf("           Version: '%s' (muster %s)\n", CONSUL_VERSION, MUSTER_VERSION);
	printf("           Node ID: '%s'\n", id);
	printf("         Node name: '" STR_FMT "'\n", STR_ARG(c->node_name));
	printf("        Datacenter: '" STR_FMT "' (Segment: '%s')\n", STR_ARG(c->datacenter),
		c->server ? "<all>" : "");
	printf("            Server: %s (Bootstrap: %s)\n", c->server ? "true" : "false",
		c->bootstrap ? "true" : "false");
	printf("       Client Addr: [" STR_FMT "] (HTTP: %lld, HTTPS: %lld, gRPC: %d, DNS: %lld)\n",
		STR_ARG(c->client_addr), (long long)c->ports.http, (long long)c->ports.https, -1,
		(long long)c->ports.dns);
	printf("      Cluster Addr: " STR_FMT " (LAN: %lld, WAN: %lld)\n",
		STR_ARG(c->advertise_addr), (long long)c->ports.serf_lan,
		(long long)c->ports.serf_wan);
	printf("           Encrypt: Gossip: %s, TLS-Outgoing: %s, TLS-Incoming: %s, "
	       "Auto-Encrypt-TLS: false\n",
		c->encrypt.n ? "true" : "false", c->verify_outgoing ? "true" : "false",
		c->verify_incoming ? "true" : "false");
	printf("\n==> Log data will now stream in as it occurs:\n\n");
	fflush(stdout);
}
