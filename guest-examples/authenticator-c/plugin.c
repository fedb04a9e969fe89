// An authenticator that lets in the users which its config names.

#include <stdlib.h>
#include <string.h>

#include "guest.h"

typedef guest_string_t text;
typedef drawspan_plugin_types_plugin_error_t plugin_error;

enum {
    INVALID_REQUEST = DRAWSPAN_PLUGIN_TYPES_PLUGIN_ERROR_INVALID_REQUEST,
    FAILED = DRAWSPAN_PLUGIN_TYPES_PLUGIN_ERROR_FAILED,
};

typedef struct {
    text name, password;
} user;

// Read once in `init`. An instance may be thrown away at any time, so nothing that changes belongs here.
static user *users;
static size_t user_count;

static text literal(const char *s) {
    return (text){(uint8_t *)s, strlen(s)};
}

static bool same(text a, text b) {
    return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

// Fills in the error of a function and returns what the function has to return then.
static bool fail(plugin_error *error, uint8_t tag, text before, text middle, const char *after) {
    text parts[] = {before, middle, literal(after)}, *message = &error->val.failed;
    size_t len = before.len + middle.len + strlen(after);
    *message = (text){malloc(len), 0};
    if (!message->ptr) abort();
    for (int i = 0; i < 3; i++) {
        memcpy(message->ptr + message->len, parts[i].ptr, parts[i].len);
        message->len += parts[i].len;
    }
    error->tag = tag;
    return false;
}

// The error counts entries instead of quoting them: it goes to a log, and an entry may be all password.
static bool bad_entry(plugin_error *error, size_t number, const char *what) {
    char digits[20], *first = digits + sizeof digits;
    do *--first = '0' + number % 10;
    while (number /= 10);
    return fail(error, INVALID_REQUEST, literal("entry "), (text){(uint8_t *)first, digits + sizeof digits - first}, what);
}

static bool separates(uint8_t c) {
    return c == ',' || c == ' ' || (c >= '\t' && c <= '\r');
}

// Reads `user:password` pairs between whitespace or commas. The first colon splits, so a password may contain more.
static bool parse(text list, plugin_error *error) {
    uint8_t *at = list.ptr, *end = list.ptr + list.len;
    for (size_t number = 1;; number++) {
        while (at < end && separates(*at)) at++;
        if (at == end) return true;
        uint8_t *start = at;
        while (at < end && !separates(*at)) at++;
        uint8_t *colon = memchr(start, ':', at - start);
        if (!colon || colon == start || colon + 1 == at)
            return bad_entry(error, number, " of `users` is not of the form user:password");
        user added = {{start, colon - start}, {colon + 1, at - colon - 1}};
        for (size_t i = 0; i < user_count; i++)
            if (same(users[i].name, added.name)) return bad_entry(error, number, " of `users` names a user again");
        // Room for as many as there can be: each takes four bytes of text, the separator included.
        if (!users && !(users = calloc(list.len / 4 + 1, sizeof *users))) abort();
        users[user_count++] = added;
    }
}

bool exports_drawspan_plugin_lifecycle_init(exports_drawspan_plugin_lifecycle_init_request_t *request,
                                            exports_drawspan_plugin_lifecycle_plugin_error_t *error) {
    if (users) return fail(error, FAILED, literal("init was called twice"), literal(""), "");
    for (size_t i = 0; i < request->config.len; i++) {
        text key = request->config.ptr[i].f0;
        // A key that nobody reads is more likely a typing error than a wish, so it is refused.
        if (!same(key, literal("users")))
            return fail(error, INVALID_REQUEST, literal("unknown config key `"), key, "`; this plugin reads `users`");
        if (!parse(request->config.ptr[i].f1, error)) return false;
    }
    // The request isn't freed: the users point into it.
    return user_count > 0 || fail(error, INVALID_REQUEST,
                                  literal("`users` is missing or empty: write `users: \"user:password …\"`"),
                                  literal(" under the plugin's `config`"), "");
}

// Takes a time that depends on the length of `presented` only, so that it tells nothing about `expected`.
static bool same_password(text expected, text presented) {
    // Volatile: a compiler may else leave the loop at the first difference.
    volatile uint8_t differs = expected.len != presented.len;
    for (size_t i = 0; i < presented.len; i++) differs |= presented.ptr[i] ^ expected.ptr[i % expected.len];
    return !differs;
}

bool exports_drawspan_plugin_authenticator_authenticate(
    exports_drawspan_plugin_authenticator_authentication_request_t *request,
    exports_drawspan_plugin_authenticator_option_identity_t *identity,
    exports_drawspan_plugin_authenticator_plugin_error_t *error) {
    bool answered = users || fail(error, FAILED, literal("init was not called"), literal(""), "");
    identity->is_some = false;
    for (size_t i = 0; i < user_count; i++) {
        if (same(users[i].name, request->username) && same_password(users[i].password, request->password)) {
            identity->is_some = true;
            guest_string_dup_n(&identity->val.client_id, (const char *)users[i].name.ptr, users[i].name.len);
        }
    }
    exports_drawspan_plugin_authenticator_authentication_request_free(request);
    return answered;
}
