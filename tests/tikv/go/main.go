// The official Go client as a child process of the tests and benches: requests and replies are JSON, one a line.
//
// Usage: tikv-go-client PD[,PD...] with host:port addresses. Replies carry the id of their request and come in any
// order. Keys and values are base64, timestamps decimal strings. It ends when standard input closes.
// The requests and their fields: type request; the driver: ../go_client.ts.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/pingcap/log"
	tikverr "github.com/tikv/client-go/v2/error"
	"github.com/tikv/client-go/v2/txnkv"
	"go.uber.org/zap/zapcore"
)

const lineBytesMax = 64 << 20

type pair struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

type request struct {
	ID int64  `json:"id"`
	Op string `json:"op"`

	Pairs []pair   `json:"pairs"` // put, leave
	Keys  [][]byte `json:"keys"`  // get, delete, split

	// put, delete, bank, bench: "2pc", "async" (commit) or "1pc"; as far as the transaction allows, else 2pc.
	Commit      string `json:"commit"`
	Pessimistic bool   `json:"pessimistic"` // put, delete: locks its keys first

	From    []byte `json:"from"` // scan: [from, to)
	To      []byte `json:"to"`
	Limit   int    `json:"limit"`
	Reverse bool   `json:"reverse"`
	At      uint64 `json:"at,string"` // get, scan: a timestamp; 0 is now

	Kind  string `json:"kind"` // leave: see leave.go
	TTLMs uint64 `json:"ttlMs"`

	Prefix     []byte  `json:"prefix"` // bank, bench
	Worker     string  `json:"worker"` // bank
	Accounts   int     `json:"accounts"`
	Bench      string  `json:"bench"` // bench: see bench.go
	Callers    int     `json:"callers"`
	Seconds    float64 `json:"seconds"`
	KeyCount   int     `json:"keyCount"`
	ValueBytes int     `json:"valueBytes"`
}

// failure tells apart what a test reacts to: "conflict", "exists", "undetermined", "other".
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type client struct {
	*txnkv.Client
	out   sync.Mutex
	ended chan struct{} // closed when standard input has ended
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "Usage: tikv-go-client PD[,PD...]")
		os.Exit(2)
	}
	if err := logToStandardError(); err != nil {
		fatal(err)
	}
	store, err := txnkv.NewClient(strings.Split(os.Args[1], ","))
	if err != nil {
		fatal(err)
	}
	c := &client{Client: store, ended: make(chan struct{})}
	var running sync.WaitGroup
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, lineBytesMax)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			fatal(fmt.Errorf("malformed request: %w", err))
		}
		running.Add(1)
		go func() {
			defer running.Done()
			c.answer(r)
		}()
	}
	if err := lines.Err(); err != nil {
		fatal(err)
	}
	close(c.ended)
	running.Wait()
	if err := c.Close(); err != nil {
		fatal(err)
	}
}

// The log goes to standard output unless told otherwise, where it would stand among the replies.
func logToStandardError() error {
	conf := &log.Config{Level: "warn"}
	logger, properties, err := log.InitLoggerWithWriteSyncer(conf, zapcore.Lock(os.Stderr), zapcore.Lock(os.Stderr))
	if err == nil {
		log.ReplaceGlobals(logger, properties)
	}
	return err
}

func (c *client) answer(r request) {
	result, err := c.do(r)
	if err != nil {
		c.print(map[string]any{"id": r.ID, "error": failureOf(err)})
		return
	}
	c.print(map[string]any{"id": r.ID, "result": result})
}

func (c *client) do(r request) (any, error) {
	ctx := context.Background()
	switch r.Op {
	case "put", "delete":
		return c.write(ctx, r)
	case "get":
		return c.get(ctx, r)
	case "scan":
		return c.scan(r)
	case "split":
		return c.SplitRegions(ctx, r.Keys, false, nil)
	case "leave":
		return c.leave(ctx, r)
	case "bank":
		return c.bank(ctx, r)
	case "bench":
		return c.bench(ctx, r)
	default:
		return nil, fmt.Errorf("unknown op %q", r.Op)
	}
}

func failureOf(err error) failure {
	code := "other"
	switch {
	case tikverr.IsErrWriteConflict(err):
		code = "conflict"
	case tikverr.IsErrKeyExist(err):
		code = "exists"
	case tikverr.IsErrorUndetermined(err):
		code = "undetermined"
	}
	return failure{Code: code, Message: err.Error()}
}

// One write a line: a line that was read was complete, even if this process is killed.
func (c *client) print(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		fatal(err)
	}
	c.out.Lock()
	defer c.out.Unlock()
	if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "tikv-go-client:", err)
	os.Exit(1)
}
