package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/tikv/client-go/v2/kv"
	"github.com/tikv/client-go/v2/tikv"
	"github.com/tikv/client-go/v2/tikvrpc"
	"github.com/tikv/client-go/v2/txnkv/transaction"
)

const (
	requestBackoffMs = 20_000
	requestTimeout   = 10 * time.Second
)

// left is what a dead client leaves: the primary is the least key.
type left struct {
	timestamps
	Primary []byte `json:"primary"`
}

// leave writes the locks of a transaction over r.Pairs with a time to live of r.TTLMs, answers and ends this process
// as SIGKILL would: no clean-up, no heartbeat. r.Kind says how far the transaction came:
//
//	prewritten            every key is prewritten
//	primary-committed     ... and the primary committed: the transaction is
//	secondaries-only      every key but the primary is prewritten
//	primary-rolled-back   every key is prewritten, the primary rolled back again: the transaction is
//	pessimistic           every key is locked pessimistically, none prewritten
//	async-commit          every key is prewritten for async commit: the transaction is committed
//	async-commit-partial  every key but the last is prewritten for async commit: it is not committed
func (c *client) leave(ctx context.Context, r request) (any, error) {
	result, err := c.leaveLocks(ctx, r)
	if err != nil {
		return nil, err
	}
	c.print(map[string]any{"id": r.ID, "result": result})
	os.Exit(0)
	return nil, nil
}

func (c *client) leaveLocks(ctx context.Context, r request) (*left, error) {
	if len(r.Pairs) < 2 {
		return nil, fmt.Errorf("leave needs a primary and a secondary, not %d keys", len(r.Pairs))
	}
	txn, err := c.Begin()
	if err != nil {
		return nil, err
	}
	if r.Kind == "pessimistic" {
		atomic.StoreUint64(&transaction.ManagedLockTTL, r.TTLMs)
		txn.SetPessimistic(true)
		if err := txn.LockKeysWithWaitTime(ctx, kv.LockAlwaysWait, keysOf(r.Pairs)...); err != nil {
			return nil, err
		}
		primary := transaction.TxnProbe{KVTxn: txn}.GetCommitter().GetPrimaryKey()
		return &left{timestamps{Start: txn.StartTS()}, primary}, nil
	}
	for _, p := range r.Pairs {
		if err := txn.Set(p.Key, p.Value); err != nil {
			return nil, err
		}
	}
	committer, err := transaction.TxnProbe{KVTxn: txn}.NewCommitter(1)
	if err != nil {
		return nil, err
	}
	committer.SetLockTTL(r.TTLMs)
	commitTS, err := c.advance(ctx, r.Kind, committer)
	if err != nil {
		return nil, err
	}
	return &left{timestamps{txn.StartTS(), commitTS}, committer.GetPrimaryKey()}, nil
}

// advance brings the transaction as far as kind says; returns its commit timestamp, 0 if it has none of its own.
func (c *client) advance(ctx context.Context, kind string, committer transaction.CommitterProbe) (uint64, error) {
	keys := committer.GetMutations().GetKeys() // sorted; the first is the primary
	switch kind {
	case "prewritten":
		return 0, committer.PrewriteAllMutations(ctx)
	case "secondaries-only":
		return 0, committer.PrewriteMutations(ctx, committer.MutationsOfKeys(keys[1:]))
	case "primary-committed":
		if err := committer.PrewriteAllMutations(ctx); err != nil {
			return 0, err
		}
		commitTS, err := c.CurrentTimestamp("global")
		if err != nil {
			return 0, err
		}
		committer.SetCommitTS(commitTS)
		return commitTS, committer.CommitMutations(ctx) // of the primary alone
	case "primary-rolled-back":
		if err := committer.PrewriteAllMutations(ctx); err != nil {
			return 0, err
		}
		return 0, c.rollBack(ctx, committer.GetPrimaryKey(), committer.GetStartTS())
	case "async-commit", "async-commit-partial":
		latest, err := c.CurrentTimestamp("global")
		if err != nil {
			return 0, err
		}
		committer.SetMinCommitTS(latest + 1)
		committer.SetUseAsyncCommit()
		if kind == "async-commit-partial" {
			keys = keys[:len(keys)-1]
		}
		err = committer.PrewriteMutations(ctx, committer.MutationsOfKeys(keys))
		if err != nil || kind == "async-commit-partial" {
			return 0, err
		}
		if !committer.IsAsyncCommit() {
			return 0, fmt.Errorf("the server refused async commit")
		}
		return committer.GetMinCommitTS(), nil // the largest of all replies: the commit timestamp
	default:
		return 0, fmt.Errorf("unknown kind %q", kind)
	}
}

func (c *client) rollBack(ctx context.Context, key []byte, startTS uint64) error {
	backoff := tikv.NewBackofferWithVars(ctx, requestBackoffMs, nil)
	region, err := c.GetRegionCache().LocateKey(backoff, key)
	if err != nil {
		return err
	}
	request := tikvrpc.NewRequest(tikvrpc.CmdBatchRollback, &kvrpcpb.BatchRollbackRequest{
		StartVersion: startTS,
		Keys:         [][]byte{key},
	})
	response, err := c.SendReq(backoff, request, region.Region, requestTimeout)
	if err != nil {
		return err
	}
	regionError, err := response.GetRegionError()
	if err != nil {
		return err
	}
	if regionError != nil {
		return fmt.Errorf("roll back the primary: %s", regionError)
	}
	if keyError := response.Resp.(*kvrpcpb.BatchRollbackResponse).Error; keyError != nil {
		return fmt.Errorf("roll back the primary: %s", keyError)
	}
	return nil
}
