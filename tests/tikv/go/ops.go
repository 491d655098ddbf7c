package main

import (
	"context"
	"strconv"

	"github.com/tikv/client-go/v2/kv"
	"github.com/tikv/client-go/v2/tikv"
	"github.com/tikv/client-go/v2/txnkv/transaction"
)

// timestamps of a transaction; Commit is 0 where it wrote nothing.
type timestamps struct {
	Start  uint64 `json:"startTs,string"`
	Commit uint64 `json:"commitTs,string"`
}

// begin starts a transaction that commits in the way of r.
func (c *client) begin(r request) (*transaction.KVTxn, error) {
	txn, err := c.Begin()
	if err != nil {
		return nil, err
	}
	txn.SetEnableAsyncCommit(r.Commit == "async" || r.Commit == "1pc")
	txn.SetEnable1PC(r.Commit == "1pc")
	txn.SetPessimistic(r.Pessimistic)
	return txn, nil
}

// write puts r.Pairs and deletes r.Keys in one transaction.
func (c *client) write(ctx context.Context, r request) (any, error) {
	txn, err := c.begin(r)
	if err != nil {
		return nil, err
	}
	if r.Pessimistic {
		if err := txn.LockKeysWithWaitTime(ctx, kv.LockAlwaysWait, append(keysOf(r.Pairs), r.Keys...)...); err != nil {
			return nil, errorAfterRollback(txn, err)
		}
	}
	for _, p := range r.Pairs {
		if err := txn.Set(p.Key, p.Value); err != nil {
			return nil, errorAfterRollback(txn, err)
		}
	}
	for _, key := range r.Keys {
		if err := txn.Delete(key); err != nil {
			return nil, errorAfterRollback(txn, err)
		}
	}
	return commit(ctx, txn)
}

func commit(ctx context.Context, txn *transaction.KVTxn) (timestamps, error) {
	err := txn.Commit(ctx)
	return timestamps{txn.StartTS(), transaction.TxnProbe{KVTxn: txn}.GetCommitTS()}, err
}

// The first error is the one that matters: what a failed rollback leaves, readers settle.
func errorAfterRollback(txn *transaction.KVTxn, err error) error {
	_ = txn.Rollback()
	return err
}

// get answers with one value a key, null where it is absent.
func (c *client) get(ctx context.Context, r request) (any, error) {
	at, err := c.at(r)
	if err != nil {
		return nil, err
	}
	found, err := c.GetSnapshot(at).BatchGet(ctx, r.Keys)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(r.Keys))
	for index, key := range r.Keys {
		values[index] = found[string(key)]
	}
	return map[string]any{"at": strconv.FormatUint(at, 10), "values": values}, nil
}

// scan answers with at most r.Limit pairs of [r.From, r.To), descending where r.Reverse.
func (c *client) scan(r request) (any, error) {
	at, err := c.at(r)
	if err != nil {
		return nil, err
	}
	pairs, err := scan(c.GetSnapshot(at), r)
	if err != nil {
		return nil, err
	}
	return map[string]any{"at": strconv.FormatUint(at, 10), "pairs": pairs}, nil
}

type scannable interface {
	Iter(from, to []byte) (tikv.Iterator, error)
	IterReverse(to []byte) (tikv.Iterator, error)
}

func scan(snapshot scannable, r request) ([]pair, error) {
	var entries tikv.Iterator
	var err error
	if r.Reverse {
		entries, err = snapshot.IterReverse(r.To)
	} else {
		entries, err = snapshot.Iter(r.From, r.To)
	}
	if err != nil {
		return nil, err
	}
	defer entries.Close()
	pairs := []pair{}
	for entries.Valid() && len(pairs) < r.Limit {
		// This version's reverse scan has no lower bound.
		if r.Reverse && string(entries.Key()) < string(r.From) {
			break
		}
		pairs = append(pairs, pair{entries.Key(), entries.Value()})
		if err := entries.Next(); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

func (c *client) at(r request) (uint64, error) {
	if r.At != 0 {
		return r.At, nil
	}
	return c.CurrentTimestamp("global")
}

func keysOf(pairs []pair) [][]byte {
	keys := make([][]byte, len(pairs))
	for index, p := range pairs {
		keys[index] = p.Key
	}
	return keys
}
