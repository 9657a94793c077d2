// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IMembers} from "../interfaces/IMembers.sol";
import {StatusTable} from "../libraries/StatusTable.sol";
import {TypedData} from "../libraries/TypedData.sol";
import {Enrolment, MemberStatus, Offer, Revocation} from "../types/Types.sol";
import {Signed} from "./Signed.sol";

/// @notice The part of Members that knows which keys act for whom. See IMembers.
///
/// A key and all that is asked about it in each transaction is one storage word, accounts and node keys alike; the member's
/// status is copied into each of its keys when it changes, which is rare.
abstract contract MemberKeys is IMembers, Signed {
    using StatusTable for MemberStatus;

    uint256 private constant MAX_NODES = 256;
    uint256 private constant MAX_CERTIFICATE = 4096;
    uint256 private constant MAX_ENDPOINT = 256;
    uint256 private constant MAX_SITE = 64;
    /// @dev How far an account's clock may run ahead of the chain's.
    uint256 private constant CLOCK_SLACK = 1 days;

    struct Member {
        address account;
        MemberStatus status;
        bytes2 jurisdiction;
        uint64 exclusiveSince;
        bytes32 legalEntity;
        string name;
        Offer offer;
        address[] nodes;
    }

    /// @dev One word. An account is a key that neither expires nor has a limit.
    struct Key {
        uint32 member;
        MemberStatus status;
        bool isAccount;
        bool revoked;
        uint64 issuedAt;
        uint64 expiresAt;
        uint64 spendingLimit;
    }

    struct Node {
        bytes certificate;
        string endpoint;
        string site;
    }

    /// @inheritdoc IMembers
    uint64 public override generation;

    mapping(uint32 id => Member) internal _member;
    mapping(address key => Key) internal _keys;
    mapping(address key => Node) internal _nodes;

    /// @inheritdoc IMembers
    function enrol(
        Enrolment calldata enrolment,
        bytes calldata certificate,
        string calldata endpoint,
        string calldata site,
        bytes calldata signature
    ) external override {
        uint32 id = _checkEnrolment(enrolment, certificate, signature);
        Member storage member = _member[id];
        if (enrolment.exclusive) {
            _revokeIssuedUntil(id, enrolment.issuedAt);
            member.exclusiveSince = enrolment.issuedAt;
        }
        if (member.nodes.length == MAX_NODES) revert TooManyNodes(id, MAX_NODES);
        member.nodes.push(enrolment.node);
        _keys[enrolment.node] = Key({
            member: id,
            status: member.status,
            isAccount: false,
            revoked: false,
            issuedAt: enrolment.issuedAt,
            expiresAt: enrolment.expiresAt,
            spendingLimit: enrolment.spendingLimit
        });
        _nodes[enrolment.node].certificate = certificate;
        _place(enrolment.node, endpoint, site);
        _emitEnrolled(id, enrolment, endpoint, site);
    }

    /// @inheritdoc IMembers
    function revoke(address node) external override {
        uint32 member = _memberOfNode(node);
        if (memberOfAccount(msg.sender) != member) revert NotTheAccount(member, msg.sender);
        _revoke(node);
    }

    /// @inheritdoc IMembers
    function revokeBySig(Revocation calldata revocation, bytes calldata signature) external override {
        _requireKnown(revocation.version, revocation.extension);
        address account = _member[_memberOfNode(revocation.node)].account;
        address signer = _recover(_digest(TypedData.hash(revocation)), signature);
        if (signer != account) revert BadSignature(account, signer);
        _revoke(revocation.node);
    }

    /// @inheritdoc IMembers
    function announce(string calldata endpoint, string calldata site) external override {
        Key memory key = _keys[msg.sender];
        if (key.isAccount || !_isLive(key)) revert NotAMember(msg.sender);
        _place(msg.sender, endpoint, site);
        emit NodeAnnounced(key.member, msg.sender, endpoint, site);
    }

    /// @inheritdoc IMembers
    function memberOf(address key) public view override returns (uint32) {
        Key memory known = _keys[key];
        return _isLive(known) ? known.member : 0;
    }

    /// @inheritdoc IMembers
    function memberOfAccount(address account) public view override returns (uint32) {
        Key memory known = _keys[account];
        return known.isAccount ? known.member : 0;
    }

    /// @inheritdoc IMembers
    function authority(address key)
        external
        view
        override
        returns (uint32 member, MemberStatus status, uint256 spendingLimit)
    {
        Key memory known = _keys[key];
        if (!_isLive(known)) return (0, MemberStatus.NONE, 0);
        return (known.member, known.status, known.isAccount ? type(uint256).max : known.spendingLimit);
    }

    /// @dev Makes an address a member's account; nobody's before.
    function _setAccount(uint32 id, address account) internal {
        _requireUnused(account);
        Member storage member = _member[id];
        member.account = account;
        _keys[account] = Key(id, member.status, true, false, 0, type(uint64).max, type(uint64).max);
    }

    function _setStatus(uint32 id, MemberStatus status) internal {
        Member storage member = _member[id];
        member.status = status;
        _keys[member.account].status = status;
        for (uint256 i = 0; i < member.nodes.length; ++i) {
            _keys[member.nodes[i]].status = status;
        }
        ++generation;
    }

    /// @dev Revokes the member's keys whose enrolments were issued at a time or before.
    function _revokeIssuedUntil(uint32 id, uint64 issuedAt) internal {
        address[] storage nodes = _member[id].nodes;
        for (uint256 i = 0; i < nodes.length; ++i) {
            Key storage key = _keys[nodes[i]];
            if (key.revoked || key.issuedAt > issuedAt) continue;
            key.revoked = true;
            emit NodeRevoked(id, nodes[i]);
        }
    }

    function _requireShort(string memory field, uint256 length, uint256 limit) internal pure {
        if (length > limit) revert TooLong(field, length, limit);
    }

    function _checkEnrolment(Enrolment calldata enrolment, bytes calldata certificate, bytes calldata signature)
        private
        view
        returns (uint32 id)
    {
        _requireKnown(enrolment.version, enrolment.extension);
        id = memberOfAccount(enrolment.account);
        if (id == 0) revert UnknownAccount(enrolment.account);
        Member storage member = _member[id];
        if (!member.status.acts()) revert StatusForbids(id, member.status);
        address signer = _recover(_digest(TypedData.hash(enrolment)), signature);
        if (signer != enrolment.account) revert BadSignature(enrolment.account, signer);
        _requireUnused(enrolment.node);
        _requireShort("certificate", certificate.length, MAX_CERTIFICATE);
        bytes32 hashed = sha256(certificate);
        if (hashed != enrolment.certificateHash) revert CertificateMismatch(enrolment.certificateHash, hashed);
        if (enrolment.expiresAt <= block.timestamp) revert EnrolmentExpired(enrolment.expiresAt, block.timestamp);
        if (enrolment.issuedAt > block.timestamp + CLOCK_SLACK) {
            revert IssuedInFuture(enrolment.issuedAt, block.timestamp);
        }
        uint64 since = member.exclusiveSince;
        if (enrolment.issuedAt < since) revert EnrolmentSuperseded(enrolment.issuedAt, since);
    }

    function _emitEnrolled(uint32 id, Enrolment calldata enrolment, string calldata endpoint, string calldata site)
        private
    {
        emit NodeEnrolled(
            id,
            enrolment.node,
            enrolment.certificateHash,
            enrolment.issuedAt,
            enrolment.expiresAt,
            enrolment.spendingLimit,
            enrolment.exclusive,
            endpoint,
            site
        );
    }

    function _place(address key, string calldata endpoint, string calldata site) private {
        _requireShort("endpoint", bytes(endpoint).length, MAX_ENDPOINT);
        _requireShort("site", bytes(site).length, MAX_SITE);
        _nodes[key].endpoint = endpoint;
        _nodes[key].site = site;
        ++generation;
    }

    function _revoke(address node) private {
        Key storage key = _keys[node];
        if (key.revoked) revert AlreadyRevoked(node);
        key.revoked = true;
        ++generation;
        emit NodeRevoked(key.member, node);
    }

    function _memberOfNode(address node) private view returns (uint32 member) {
        Key memory key = _keys[node];
        if (key.member == 0 || key.isAccount) revert UnknownNode(node);
        return key.member;
    }

    function _isLive(Key memory key) private view returns (bool) {
        // Of a member that has left only the account acts, for what is still owed to it.
        if (!key.status.acts() && !key.isAccount) return false;
        return key.member != 0 && !key.revoked && key.expiresAt > block.timestamp;
    }

    function _requireUnused(address given) private view {
        if (given == address(0)) revert BadAddress();
        uint32 taken = _keys[given].member;
        if (taken != 0) revert AddressTaken(given, taken);
    }
}
