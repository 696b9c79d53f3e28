// Command oracle says what the Compose Specification's reference loader makes of a project.
//
// It reads one request per line from standard input and answers each with one line: the project as JSON, or an error.
// Nothing of the process environment reaches the project but HOME.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/sirupsen/logrus"
)

type request struct {
	Dir      string   `json:"dir"`
	Files    []string `json:"files"`
	Profiles []string `json:"profiles"`
}

type answer struct {
	Project json.RawMessage `json:"project,omitempty"`
	Error   string          `json:"error,omitempty"`
}

// readRaw is the `raw` format of an env_file, which the module leaves to its user: KEY=value to the end of the line.
func readRaw(r io.Reader, _ string, vars map[string]string, _ func(string) (string, bool)) error {
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		if key, value, found := strings.Cut(scanner.Text(), "="); found {
			vars[key] = value
		}
	}
	return scanner.Err()
}

func load(r request) (project json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if err := os.Chdir(r.Dir); err != nil { // COMPOSE_FILE is relative to it
		return nil, err
	}
	options, err := cli.NewProjectOptions(r.Files,
		cli.WithWorkingDirectory(r.Dir),
		cli.WithEnv(nil),
		cli.WithEnvFiles(),
		cli.WithDotEnv,
		cli.WithConfigFileEnv,
		cli.WithDefaultConfigPath,
		cli.WithDefaultProfiles(r.Profiles...),
	)
	if err != nil {
		return nil, err
	}
	loaded, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	return json.Marshal(loaded)
}

func main() {
	logrus.SetOutput(io.Discard)
	dotenv.RegisterFormat("raw", readRaw)
	in := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var r request
		if err := json.Unmarshal(line, &r); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		project, err := load(r)
		if err != nil {
			_ = out.Encode(answer{Error: err.Error()})
			continue
		}
		_ = out.Encode(answer{Project: project})
	}
}
