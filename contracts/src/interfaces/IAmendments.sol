// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Amendment} from "../types/Types.sol";

/// @notice Changes agreements in force: new terms that both sides sign, and early ends that one side's account asks for. What
/// is kept of an agreement stays in Agreements, which lets only this contract write it.
interface IAmendments {
    error AmendmentExpired(bytes32 id, uint32 expires, uint32 epoch);
    error WrongNumber(bytes32 id, uint32 expected, uint32 given);
    /// @notice An amendment lowers neither capacity nor collateral nor minimum retention.
    error Lowers(bytes32 id, uint64 capacity, uint64 collateral, uint32 minRetentionEpochs);
    /// @notice An agreement ends early no sooner than `earliest`.
    error EndTooSoon(bytes32 id, uint32 earliest, uint32 given);
    /// @notice Closed epochs are still to be settled by the old terms.
    error NotSettled(bytes32 id, uint32 nextEpoch);
    error NotAParty(bytes32 id, address sender);
    /// @notice Leaving now would end the agreement no sooner than it ends.
    error ExitTooLate(bytes32 id, uint32 endEpoch, uint32 given);

    /// @notice New terms, in force from `fromEpoch` on.
    event Amended(
        bytes32 indexed id,
        uint32 indexed number,
        Amendment amendment,
        address clientKey,
        address providerKey,
        uint32 fromEpoch
    );
    /// @notice One side leaves, and the agreement ends early.
    event Exited(bytes32 indexed id, uint32 indexed member, bool byClient, uint32 endEpoch);

    /// @notice Changes the terms of an ACTIVE agreement: more capacity within the provider's offer, a later end, other prices,
    /// more collateral, or an end that both want sooner. Relayed by anyone. Settles first: the new terms hold from the first
    /// epoch that is not closed. What the former keys had bound and not spent is free again; the signing keys bind the rest.
    function amend(Amendment calldata amendment, bytes calldata clientSignature, bytes calldata providerSignature)
        external;

    /// @notice Ends an ACTIVE agreement early, against the cost that Clearing charges: noticeEpochs from now, or the minimum
    /// retention if that is longer and the client leaves. The account of either side; no node key.
    function exit(bytes32 id) external;

    /// @notice EIP-712 digest that both sides sign.
    function digestOfAmendment(Amendment calldata amendment) external view returns (bytes32);
}
