package interop

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// checkGolden compares what GOST asked with testdata/asked: each request once, sorted, without what changes from run to run.
// UPDATE_GOLDEN=1 writes the file. A gateway whose data plane consults these modules has to ask the same.
func checkGolden(t *testing.T, name string, asked []record) {
	t.Helper()
	lines := map[string]bool{}
	for _, r := range asked {
		line := r.Method + " " + r.Path
		if r.Query != "" {
			line += "?" + r.Query
		}
		lines[strings.TrimSpace(steady(line+" "+withoutData(r.Body)))] = true
	}
	got := strings.Join(slices.Sorted(maps.Keys(lines)), "\n") + "\n"

	file := filepath.Join("testdata", "asked", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil {
		t.Error(err)
	} else if got != string(want) {
		t.Errorf("GOST asks\n%s\nbut in %s is\n%s", got, file, want)
	}
}

var (
	portNumber = regexp.MustCompile(`\b(127\.0\.0\.\d+|mapped\.test|resolved\.test|nowhere\.test|behind\.test):\d+`)
	uuid       = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	counter    = regexp.MustCompile(`(Conns|Bytes|Errs)":"?\d+"?`)
)

// steady hides ports, ids that GOST makes up, and counters.
func steady(text string) string {
	text = portNumber.ReplaceAllString(text, "$1:PORT")
	text = uuid.ReplaceAllStringFunc(text, func(id string) string {
		if id == tunnel {
			return id
		}
		return "UUID"
	})
	return counter.ReplaceAllString(text, `$1":N`)
}

// withoutData leaves of a record's bytes, which are JSON here, the names of the fields.
func withoutData(body string) string {
	var message struct{ Data, Metadata []byte }
	var data map[string]any
	if json.Unmarshal([]byte(body), &message) != nil || json.Unmarshal(message.Data, &data) != nil {
		return body
	}
	return strings.Join(slices.Sorted(maps.Keys(data)), " ") + " / " + string(message.Metadata)
}
