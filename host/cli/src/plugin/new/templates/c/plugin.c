// A plugin for drawspan: {{module}}. What a function gets, and what it may fill in, is in gen/guest.h once it was built.
//
// Each function returns whether there is an answer. Where there is none, it fills in `err` and returns false.

#include "guest.h"
{{functions}}
