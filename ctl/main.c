/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of commands, and the way into it.
 */
#include <stdio.h>

#include "common/base/err.h"
#include "ctl/commands.h"

static const struct command catalog_commands[] = {
	{ "datacenters", "Lists all known datacenters for this agent", catalog_datacenters_run,
		NULL, 0, NULL },
	{ "nodes", "Lists all nodes in the given datacenter", catalog_nodes_run, NULL, 0, NULL },
	{ "services", "Lists all registered services in a datacenter", catalog_services_run, NULL,
		0, NULL },
};

static const struct command kv_commands[] = {
	{ "delete", "Removes data from the KV store", kv_delete_run, NULL, 0, NULL },
	{ "export", "Exports a tree from the KV store as JSON", kv_export_run, NULL, 0, NULL },
	{ "get", "Retrieves or lists data from the KV store", kv_get_run, NULL, 0, NULL },
	{ "import", "Imports a tree stored as JSON to the KV store", kv_import_run, NULL, 0, NULL },
	{ "put", "Sets or updates data in the KV store", kv_put_run, NULL, 0, NULL },
};

static const struct command raft_commands[] = {
	{ "list-peers", "Display the current Raft peer configuration", raft_list_peers_run, NULL, 0,
		NULL },
	{ "recover", "Makes a quorum of the servers that remain", raft_recover_run, NULL, 0, NULL },
	{ "remove-peer", "Remove a server from the Raft configuration", raft_remove_peer_run, NULL,
		0, NULL },
	{ "transfer-leader", "Transfer leadership to another server", raft_transfer_leader_run,
		NULL, 0, NULL },
};

static const struct command autopilot_commands[] = {
	{ "get-config", "Display the current Autopilot configuration", autopilot_get_config_run,
		NULL, 0, NULL },
	{ "set-config", "Modify the current Autopilot configuration", autopilot_set_config_run,
		NULL, 0, NULL },
	{ "state", "Display the current Autopilot state", autopilot_state_run, NULL, 0, NULL },
};

static const struct command operator_commands[] = {
	{ "autopilot", "Provides tools for modifying Autopilot configuration", NULL,
		COMMANDS(autopilot_commands), "How the leader looks after the quorum." },
	{ "raft", "Provides cluster-level tools for Raft", NULL, COMMANDS(raft_commands),
		"Looks at the quorum of servers." },
};

static const struct command services_commands[] = {
	{ "deregister", "Deregister services with the local agent", services_deregister_run, NULL,
		0, NULL },
	{ "register", "Register services with the local agent", services_register_run, NULL, 0,
		NULL },
};

static const struct command snapshot_commands[] = {
	{ "inspect", "Displays information about a snapshot file", snapshot_inspect_run, NULL, 0,
		NULL },
	{ "restore", "Restores snapshot of server state", snapshot_restore_run, NULL, 0, NULL },
	{ "save", "Saves snapshot of server state", snapshot_save_run, NULL, 0, NULL },
};

static const struct command tls_ca_commands[] = {
	{ "create", "Create a new CA", tls_ca_create_run, NULL, 0, NULL },
};

static const struct command tls_cert_commands[] = {
	{ "create", "Create a new certificate", tls_cert_create_run, NULL, 0, NULL },
};

static const struct command tls_commands[] = {
	{ "ca", "Helpers for CAs", NULL, COMMANDS(tls_ca_commands), "Makes an authority." },
	{ "cert", "Helpers for certificates", NULL, COMMANDS(tls_cert_commands),
		"Makes certificates that the authority has signed." },
};

static const struct command commands[] = {
	{ "agent", "Runs the daemons of a node", agent_run, NULL, 0, NULL },
	{ "catalog", "Interact with the catalog", NULL, COMMANDS(catalog_commands),
		"Looks at nodes and services of a data centre." },
	{ "event", "Fire a new event", event_run, NULL, 0, NULL },
	{ "exec", "Executes a command on nodes", exec_run, NULL, 0, NULL },
	{ "force-leave", "Forces a member of the cluster to enter the \"left\" state",
		force_leave_run, NULL, 0, NULL },
	{ "info", "Provides debugging information for operators.", info_run, NULL, 0, NULL },
	{ "join", "Tell the agent to join a cluster", join_run, NULL, 0, NULL },
	{ "keygen", "Generates a new encryption key", keygen_run, NULL, 0, NULL },
	{ "keyring", "Manages gossip layer encryption keys", keyring_run, NULL, 0, NULL },
	{ "kv", "Interact with the key-value store", NULL, COMMANDS(kv_commands),
		"Reads and writes keys." },
	{ "leave", "Gracefully leaves the cluster and shuts down", leave_run, NULL, 0, NULL },
	{ "lock", "Execute a command holding a lock", lock_run, NULL, 0, NULL },
	{ "maint", "Controls node or service maintenance mode", maint_run, NULL, 0, NULL },
	{ "members", "Lists the members of a cluster", members_run, NULL, 0, NULL },
	{ "monitor", "Stream logs from an agent", monitor_run, NULL, 0, NULL },
	{ "operator", "Provides cluster-level tools for operators", NULL,
		COMMANDS(operator_commands), "Tools for the whole cluster." },
	{ "reload", "Triggers the agent to reload configuration files", reload_run, NULL, 0, NULL },
	{ "rtt", "Estimates network round trip time between nodes", rtt_run, NULL, 0, NULL },
	{ "services", "Interact with services", NULL, COMMANDS(services_commands),
		"Registers services with the agent." },
	{ "snapshot", "Saves, restores and inspects snapshots of server state", NULL,
		COMMANDS(snapshot_commands), "Keeps and restores the whole state of a cluster." },
	{ "status", "Shows the daemons of this node", status_run, NULL, 0, NULL },
	{ "tls", "Builtin helpers for creating CAs and certificates", NULL, COMMANDS(tls_commands),
		"Makes the certificates of a cluster." },
	{ "validate", "Validate config files/directories", validate_run, NULL, 0, NULL },
	{ "version", "Prints the version", version_run, NULL, 0, NULL },
	{ "watch", "Watch for changes", watch_run, NULL, 0, NULL },
};

static int usage(struct ctl *c, FILE *to)
{
	size_t width = 0;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		width = max_of(width, strlen(commands[i].name));
	}
	fprintf(to,
		"Usage: %s [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n",
		c->program);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		fprintf(to, "    %-*s    %s\n", (int)width, commands[i].name, commands[i].synopsis);
	}
	fputc('\n', to);
	return 127;
}

static const char *program_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strcmp(slash ? slash + 1 : path, "consul") == 0 ? "consul" : "muster";
}

static int run(struct ctl *c, int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "-v") || !strcmp(name, "-version") || !strcmp(name, "--version")) {
		return version_run(c, 0, argv);
	}
	if (!strcmp(name, "-h") || !strcmp(name, "-help") || !strcmp(name, "--help")) {
		usage(c, stdout);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *command = &commands[i];

		if (strcmp(name, command->name) == 0) {
			return command->run ? command->run(c, argc - 2, argv + 2)
					    : group_run(c, command, argc - 2, argv + 2);
		}
	}
	return usage(c, stderr);
}

/* What was asked for and did not get out (a full disk) is no success. The agent's output is its
 * log, without which it goes on. */
int main(int argc, char **argv)
{
	struct ctl c = { .program = program_name(argc ? argv[0] : "") };
	int status = run(&c, argc, argv);
	bool lost = fflush(stdout) || ferror(stdout);

	if (lost && status == 0 && strcmp(argc > 1 ? argv[1] : "", "agent")) {
		return ctl_fail("Error writing the output");
	}
	return status;
}
