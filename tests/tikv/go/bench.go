package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"sort"
	"sync"
	"syscall"
	"time"
)

const (
	benchBatch     = 16
	benchScan      = 100
	benchLoadBatch = 200
)

type benchResult struct {
	Bench      string  `json:"bench"`
	Callers    int     `json:"callers"`
	Seconds    float64 `json:"seconds"`
	Ops        int     `json:"ops"`
	OpsPerS    float64 `json:"opsPerS"`
	P50Ms      float64 `json:"p50Ms"`
	P95Ms      float64 `json:"p95Ms"`
	P99Ms      float64 `json:"p99Ms"`
	CPUSeconds float64 `json:"cpuSeconds"` // user and system time of this process
}

// caller does one operation of the benchmark; slot is a random number below r.KeyCount / r.Callers.
type caller func(ctx context.Context, number, slot int) error

// bench runs r.Bench with r.Callers at once for r.Seconds, each operation in a new transaction:
//
//	load                     writes r.KeyCount keys with values of r.ValueBytes, then ends
//	get, batch-get, scan     one key, 16 keys, 100 neighbouring keys
//	put1, put16              overwrites keys that no other caller writes
//
// Key i is <prefix> and i in eight digits. Caller c of n owns the keys c, c+n, c+2n ...
func (c *client) bench(ctx context.Context, r request) (any, error) {
	if r.Bench == "load" {
		return nil, c.load(ctx, r)
	}
	if r.Callers < 1 || r.KeyCount < r.Callers*benchBatch || r.KeyCount <= benchScan {
		return nil, fmt.Errorf("%d keys are too few for %d callers", r.KeyCount, r.Callers)
	}
	operation, err := c.operation(r)
	if err != nil {
		return nil, err
	}
	cpuBefore := cpuSeconds()
	start := time.Now()
	until := start.Add(time.Duration(r.Seconds * float64(time.Second)))
	latencies := make([][]time.Duration, r.Callers)
	failures := make([]error, r.Callers)
	var callers sync.WaitGroup
	for number := range r.Callers {
		callers.Add(1)
		go func() {
			defer callers.Done()
			for time.Now().Before(until) && failures[number] == nil {
				before := time.Now()
				failures[number] = operation(ctx, number, rand.Intn(r.KeyCount/r.Callers))
				latencies[number] = append(latencies[number], time.Since(before))
			}
		}()
	}
	callers.Wait()
	seconds := time.Since(start).Seconds()
	cpu := cpuSeconds() - cpuBefore
	for _, failure := range failures {
		if failure != nil {
			return nil, failure
		}
	}
	return resultOf(r, latencies, seconds, cpu), nil
}

func (c *client) operation(r request) (caller, error) {
	slots := r.KeyCount / r.Callers
	// The n keys from slot on that belong to the caller.
	own := func(number, slot, n int) [][]byte {
		keys := make([][]byte, n)
		for i := range keys {
			keys[i] = benchKey(r.Prefix, (slot+i)%slots*r.Callers+number)
		}
		return keys
	}
	value := benchValue(r.ValueBytes)
	read := func(n int) caller {
		return func(ctx context.Context, number, slot int) error {
			txn, err := c.begin(r)
			if err != nil {
				return err
			}
			keys := own(number, slot, n)
			if n == 1 {
				_, err = txn.Get(ctx, keys[0])
				return err
			}
			found, err := txn.BatchGet(ctx, keys)
			if err == nil && len(found) != n {
				err = fmt.Errorf("%d of %d keys are there: load first", len(found), n)
			}
			return err
		}
	}
	write := func(n int) caller {
		return func(ctx context.Context, number, slot int) error {
			txn, err := c.begin(r)
			if err != nil {
				return err
			}
			for _, key := range own(number, slot, n) {
				if err := txn.Set(key, value); err != nil {
					return err
				}
			}
			return txn.Commit(ctx)
		}
	}
	switch r.Bench {
	case "get":
		return read(1), nil
	case "batch-get":
		return read(benchBatch), nil
	case "scan":
		return func(_ context.Context, number, slot int) error {
			txn, err := c.begin(r)
			if err != nil {
				return err
			}
			first := (slot*r.Callers + number) % (r.KeyCount - benchScan)
			from, to := benchKey(r.Prefix, first), benchKey(r.Prefix, first+benchScan)
			pairs, err := scan(txn.GetSnapshot(), request{From: from, To: to, Limit: benchScan})
			if err == nil && len(pairs) != benchScan {
				err = fmt.Errorf("%d of %d keys are there: load first", len(pairs), benchScan)
			}
			return err
		}, nil
	case "put1":
		return write(1), nil
	case "put16":
		return write(benchBatch), nil
	default:
		return nil, fmt.Errorf("unknown bench %q", r.Bench)
	}
}

func (c *client) load(ctx context.Context, r request) error {
	value := benchValue(r.ValueBytes)
	for first := 0; first < r.KeyCount; first += benchLoadBatch {
		txn, err := c.begin(r)
		if err != nil {
			return err
		}
		for i := first; i < min(first+benchLoadBatch, r.KeyCount); i++ {
			if err := txn.Set(benchKey(r.Prefix, i), value); err != nil {
				return errorAfterRollback(txn, err)
			}
		}
		if err := txn.Commit(ctx); err != nil {
			return err
		}
	}
	return nil
}

func resultOf(r request, latencies [][]time.Duration, seconds, cpu float64) benchResult {
	var all []time.Duration
	for _, one := range latencies {
		all = append(all, one...)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	at := func(share float64) float64 {
		if len(all) == 0 {
			return 0
		}
		return float64(all[int(share*float64(len(all)-1))].Microseconds()) / 1000
	}
	return benchResult{
		Bench: r.Bench, Callers: r.Callers, Seconds: seconds, Ops: len(all), OpsPerS: float64(len(all)) / seconds,
		P50Ms: at(0.5), P95Ms: at(0.95), P99Ms: at(0.99), CPUSeconds: cpu,
	}
}

func benchKey(prefix []byte, number int) []byte {
	return append(bytes.Clone(prefix), fmt.Sprintf("%08d", number)...)
}

func benchValue(length int) []byte {
	return bytes.Repeat([]byte("v"), length)
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fatal(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
