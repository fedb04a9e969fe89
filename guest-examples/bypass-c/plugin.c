// A bypass that recognises targets by their domain.

#include <stdlib.h>
#include <string.h>

#include "guest.h"

typedef guest_string_t text;
typedef drawspan_plugin_types_plugin_error_t plugin_error;
typedef exports_drawspan_plugin_bypass_match_t match;

enum {
    INVALID_REQUEST = DRAWSPAN_PLUGIN_TYPES_PLUGIN_ERROR_INVALID_REQUEST,
    FAILED = DRAWSPAN_PLUGIN_TYPES_PLUGIN_ERROR_FAILED,
    MATCHED = EXPORTS_DRAWSPAN_PLUGIN_BYPASS_MATCH_MATCHED,
    UNMATCHED = EXPORTS_DRAWSPAN_PLUGIN_BYPASS_MATCH_UNMATCHED,
};

// Names in lower case, sorted. Read once in `init`: an instance may be thrown away at any time, so nothing that changes
// belongs here.
typedef struct {
    text *names;
    size_t count;
} set;
static set names, below;

static text literal(const char *s) {
    return (text){(uint8_t *)s, strlen(s)};
}

// Fills in the error of a function and returns what the function has to return then.
static bool fail(plugin_error *error, uint8_t tag, const char *before, text middle, const char *after) {
    text parts[] = {literal(before), middle, literal(after)}, *message = &error->val.failed;
    *message = (text){malloc(parts[0].len + parts[1].len + parts[2].len), 0};
    if (!message->ptr) abort();
    for (int i = 0; i < 3; i++) {
        memcpy(message->ptr + message->len, parts[i].ptr, parts[i].len);
        message->len += parts[i].len;
    }
    error->tag = tag;
    return false;
}

static int compare(const void *left, const void *right) {
    const text *a = left, *b = right;
    int order = memcmp(a->ptr, b->ptr, a->len < b->len ? a->len : b->len);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static bool contains(const set *set, text name) {
    return bsearch(&name, set->names, set->count, sizeof name, compare) != NULL;
}

static bool starts_with(text name, const char *prefix) {
    return name.len >= strlen(prefix) && memcmp(name.ptr, prefix, strlen(prefix)) == 0;
}

static text skip(text name, size_t bytes) {
    return (text){name.ptr + bytes, name.len - bytes};
}

static void lower(text name) {
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z') name.ptr[i] |= 0x20;
}

// A host name as it is compared: without port and trailing dot, in lower case. Changes the text that `address` points to.
static text host(text address) {
    text name = address;
    uint8_t *bracket = memchr(address.ptr, ']', address.len), *colon = memchr(address.ptr, ':', address.len);
    if (starts_with(address, "[") && bracket)
        name = (text){address.ptr + 1, bracket - address.ptr - 1};
    // More than one colon is an IPv6 address without brackets.
    else if (colon && !memchr(colon + 1, ':', address.ptr + address.len - colon - 1))
        name.len = colon - address.ptr;
    if (name.len && name.ptr[name.len - 1] == '.') name.len--;
    lower(name);
    return name;
}

static bool separates(uint8_t c) {
    return c == ',' || c == ' ' || (c >= '\t' && c <= '\r');
}

// Reads entries between spaces or commas: `example.org` is that name alone, `*.example.org` every name below it,
// `.example.org` both.
static bool parse(text list, plugin_error *error) {
    // Room for as many as there can be: each takes two bytes of text, the separator included.
    names.names = calloc(list.len / 2 + 1, sizeof(text));
    below.names = calloc(list.len / 2 + 1, sizeof(text));
    if (!names.names || !below.names) abort();
    for (size_t at = 0; at < list.len;) {
        size_t start = at;
        while (at < list.len && !separates(list.ptr[at])) at++;
        text entry = {list.ptr + start, at - start};
        if (at < list.len) at++;
        if (!entry.len) continue;
        bool star = starts_with(entry, "*."), dot = starts_with(entry, ".");
        text name = skip(entry, star ? 2 : dot);
        bool strange = name.len == 0;
        for (size_t i = 0; i < name.len; i++) strange |= strchr("*:/", name.ptr[i]) != NULL;
        // `com*` or `a.*.b` would otherwise match nothing in silence.
        if (strange)
            return fail(error, INVALID_REQUEST, "`", entry, "` is none of example.org, .example.org and *.example.org");
        name = host(name);
        if (star || dot) below.names[below.count++] = name;
        if (!star) names.names[names.count++] = name;
    }
    qsort(names.names, names.count, sizeof(text), compare);
    qsort(below.names, below.count, sizeof(text), compare);
    return true;
}

bool exports_drawspan_plugin_lifecycle_init(exports_drawspan_plugin_lifecycle_init_request_t *request,
                                            exports_drawspan_plugin_lifecycle_plugin_error_t *error) {
    if (names.names) return fail(error, FAILED, "init was called twice", literal(""), "");
    for (size_t i = 0; i < request->config.len; i++) {
        text key = request->config.ptr[i].f0;
        // A key that nobody reads is more likely a typing error than a wish, so it is refused.
        if (key.len != strlen("domains") || !starts_with(key, "domains"))
            return fail(error, INVALID_REQUEST, "unknown config key `", key, "`; this plugin reads `domains`");
        if (!parse(request->config.ptr[i].f1, error)) return false;
    }
    // The request isn't freed: the names point into it.
    return names.count || below.count ||
           fail(error, INVALID_REQUEST, "`domains` is missing or empty: write `domains: \"example.org .example.net\"`",
                literal(" under the plugin's `config`"), "");
}

// Whether the host of `address`, with or without a port, is in the list.
static bool listed(text address) {
    text name = host(address);
    if (contains(&names, name)) return true;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] == '.' && contains(&below, skip(name, i + 1))) return true;
    return false;
}

bool exports_drawspan_plugin_bypass_contains(exports_drawspan_plugin_bypass_bypass_request_t *request, match *match,
                                             exports_drawspan_plugin_bypass_plugin_error_t *error) {
    bool answered = names.names || fail(error, FAILED, "init was not called", literal(""), "");
    // At hop and node level the target is an address already; `host` is the name that the client asked for.
    bool found = (request->host.is_some && listed(request->host.val)) || listed(request->target_address);
    *match = found ? MATCHED : UNMATCHED;
    exports_drawspan_plugin_bypass_bypass_request_free(request);
    return answered;
}
