// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Rules} from "../libraries/RuleSet.sol";
import {Params} from "../types/Types.sol";

/// @notice The one address to know: the network's parameters, and the current contract of each kind with its version.
interface IDirectory {
    error AlreadyConfigured();
    error NotConfigured();
    /// @param field Name of the parameter that is out of range.
    error BadParameter(string field);
    error NotAContract(bytes32 kind, address given);
    error RulesTooSoon(uint32 fromEpoch, uint32 earliest);
    /// @notice Others are announced already, and not yet in force: cancel them first.
    error RulesPending(uint32 fromEpoch);
    error NoRulesPending();

    event Configured(Params params);
    /// @notice From epoch `fromEpoch` on, `rules` will be in force (packed as in RuleSet).
    event RulesAnnounced(uint32 indexed fromEpoch, Rules rules);
    event RulesCancelled(uint32 indexed fromEpoch);
    event ContractSet(bytes32 indexed kind, address indexed current, uint32 version);

    /// @notice Sets the network's parameters. Owner only, once, before any other contract is deployed.
    function configure(Params calldata given) external;

    /// @notice Announces new rules: the fields of `given` but for the four that never change, which are passed over.
    /// Owner only; one change at a time, from rulesDelay epochs ahead on, so that every member sees it coming.
    function announceRules(Params calldata given, uint32 fromEpoch) external;

    /// @notice Takes back rules that are announced and not yet in force. Owner only.
    function cancelRules() external;

    /// @notice The rules in force in an epoch, and the first epoch in which others are (the highest number if none are known).
    /// Those of past epochs stay, so that what happened under them is judged by them.
    function rulesAt(uint32 epoch) external view returns (Rules rules, uint32 until);

    /// @notice Names the current contract of a kind; counts its version up. Owner only.
    /// @param kind keccak256 of the contract's name, as in Kinds.
    function set(bytes32 kind, address current) external;

    /// @notice The current contract of a kind; zero if there is none.
    function get(bytes32 kind) external view returns (address);

    /// @notice How often the contract of this kind has been set.
    function version(bytes32 kind) external view returns (uint32);

    /// @notice The parameters with the rules of the current epoch, defaults filled in. Reverts with NotConfigured before configure.
    function params() external view returns (Params memory);

    /// @notice EIP-712 domain of everything that members sign: name "Peerage", version "1", this chain, this contract.
    function domainSeparator() external view returns (bytes32);
}
