/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of definitions, one set per spelling (private to definition*.c). Several rows may fill
 * one field: aliases.
 */
#ifndef MUSTER_COMMON_CLIENT_DEFINITION_ROWS_H
#define MUSTER_COMMON_CLIENT_DEFINITION_ROWS_H

#include "common/client/definition.h"

struct check_binding {
	struct check_def check;
	const struct json *header;
	struct str ignored; /* keys that are accepted and mean nothing here */
};

struct connect_binding {
	bool native;
};

struct weights_binding {
	int64_t passing, warning;
};

struct service_binding {
	struct service_def service;
	const struct json *tagged_addresses;
	struct check_binding *check;
	struct bind_list checks; /* of struct check_binding */
	struct str token;
	const struct json *proxy;
	struct connect_binding connect;
	struct weights_binding weights;	     /* FILE: holds the defaults already */
	struct weights_binding *weights_api; /* API: what it does not name is 0 */
};

extern const struct bind_object check_api_rows, check_in_service_api_rows, check_file_rows;
extern const struct bind_object service_api_rows, service_file_rows, tagged_address_rows;

#endif
