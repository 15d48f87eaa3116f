/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bodies of catalog/register and catalog/deregister as commands. Only what Consul's HTTP layer
 * checks is checked here: keys and types; everything about meaning is catalogd's. Ids default to
 * names, weights to 1, the node of a check to that of the request.
 */
#ifndef MUSTER_HTTPD_CATALOG_BODY_H
#define MUSTER_HTTPD_CATALOG_BODY_H

#include "common/base/json.h"
#include "common/msg/command.h"

/* 0, or ST_INVALID with Go's decoder text in *why. What is in *out lives in the arena or is
 * borrowed from body. */
int catalog_body_register(
	struct arena *arena, const struct json *body, struct cmd_register *out, struct buf *why);
int catalog_body_deregister(struct arena *arena, const struct json *body,
	struct cmd_deregister *out, struct str *datacenter_out, struct buf *why);

/* The same objects inside other bodies (transactions): Service as {ID, Service, ...}, Check as
 * {Node, CheckID, ...}. */
int catalog_body_service(
	struct arena *arena, const struct json *body, struct service_def *out, struct buf *why);
int catalog_body_check(
	struct arena *arena, const struct json *body, struct health_check *out, struct buf *why);

/* A check's Definition as it is stored: compact, what is empty left out. Definition may be NULL.
 * type_out: the word for Type. */
int catalog_body_definition(struct arena *arena, const struct json *definition,
	struct str *json_out, const char **type_out, struct buf *why);

#endif
